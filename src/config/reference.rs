//! The commented reference configuration.

use super::RawConfig;
use super::key::{ConfigKey, DefaultValue};

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

/// The commented reference configuration in TOML, made from the keys. The required lines stand as examples;
/// the cookie key among them is refused until it is replaced.
pub fn reference() -> String {
    let mut text = String::from(HEAD);
    let keys = RawConfig::keys();
    for (section, intro) in RawConfig::SECTIONS {
        text.push_str("\n\n");
        for line in intro.lines() {
            text.push_str(format!("# {line}").trim_end());
            text.push('\n');
        }
        text.push_str(&format!("[{section}]\n"));
        // Arrays of tables are in the introduction.
        for key in keys.iter().filter(|key| key.section == *section && !key.shape.is_tables()) {
            text.push('\n');
            text.push_str(&entry(key));
        }
    }
    text
}

fn entry(key: &ConfigKey) -> String {
    let comment: String = key.doc.lines().map(|line| format!("# {line}\n")).collect();
    let line = |value: &str| format!("{} = {}", key.name, key.shape.toml(value));
    let line = match key.default {
        DefaultValue::Required(example) => format!("{}\n", line(example)),
        DefaultValue::Value(value) => format!("#{}\n", line(value)),
        DefaultValue::Absent(example) => format!("#{}  # example\n", line(example)),
    };
    comment + &line
}

/// The keys that a reload takes, as `cookies.keys`; a change of any other needs a restart.
pub fn reloadable() -> Vec<String> {
    RawConfig::keys().iter().filter(|key| key.reloads).map(ConfigKey::path).collect()
}
