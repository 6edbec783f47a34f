//! The commented reference configuration.

use super::keys::{ALL, Key, SECTIONS, Shape, Unwritten};
use super::reader::split;

const HEAD: &str = "\
# Configuration of auth-api.
#
# Lines without `#` are required and show an example. Commented lines show the default; where a line ends in
# `# example`, there is none and the key is absent unless written.
#
# Every key can also be an environment variable, which wins over this file: `listen` in [server] is
# AUTH_API__SERVER__LISTEN. Lists are separated by commas there. Secrets can come from files: keys that end in `_file`.
# Durations are a whole number and a unit: 90s, 5m, 12h, 30d. Relative paths start at this file's folder.
# Unknown keys and unknown AUTH_API__ variables are refused. `auth-api check` lists every mistake at once.
";

/// The commented reference configuration in TOML, made from the table of keys. The required lines stand as examples;
/// the cookie key among them is refused until it is replaced.
pub fn reference() -> String {
    let mut text = String::from(HEAD);
    for (section, intro) in SECTIONS {
        text.push_str("\n\n");
        for line in intro.lines() {
            text.push_str(format!("# {line}").trim_end());
            text.push('\n');
        }
        text.push_str(&format!("[{section}]\n"));
        for key in ALL.iter().filter(|key| key.section == *section) {
            text.push('\n');
            text.push_str(&entry(key));
        }
    }
    text
}

fn entry(key: &Key) -> String {
    let comment: String = key.doc.lines().map(|line| format!("# {line}\n")).collect();
    let line = match key.unwritten {
        Unwritten::Required(example) => {
            format!("{} = {}\n", key.name, toml_value(key.shape, example))
        }
        Unwritten::Default(default) => {
            format!("#{} = {}\n", key.name, toml_value(key.shape, default))
        }
        Unwritten::Absent(example) => format!("#{} = {}  # example\n", key.name, toml_value(key.shape, example)),
    };
    comment + &line
}

/// A value of the table as TOML writes it.
pub(super) fn toml_value(shape: Shape, text: &str) -> String {
    match shape {
        Shape::Text => toml::Value::from(text).to_string(),
        Shape::Plain => text.to_owned(),
        Shape::List => toml::Value::from(split(text)).to_string(),
    }
}
