//! No input makes loading panic.

use auth_api::config::{Sources, load, reference};
use proptest::prelude::*;

use super::load_toml;

fn name() -> impl Strategy<Value = String> {
    let names: Vec<String> = reference()
        .lines()
        .filter_map(|line| line.trim_start_matches('#').split_once(" = "))
        .map(|(name, _)| name.to_owned())
        .filter(|name| !name.contains(' '))
        .collect();
    let sections = ["server", "provider", "cookies", "session", "return_to", "gateway", "telemetry", "policy"];
    (prop::sample::select(sections.to_vec()), prop::sample::select(names)).prop_map(|(s, n)| format!("{s}.{n}"))
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "(https?://)?[a-z0-9.:@/\\\\\\[\\]*-]{0,24}",
        "(external:|redb:|redis://|\\.)?[a-zA-Zä.*:-]{0,16}(,[a-z.]{0,8}){0,3}",
        "-?[0-9]{0,22}[smhd]{0,2}",
        "https://(issuer-)?cognito-idp\\.[a-z0-9.-]{0,20}/[a-z0-9_/-]{0,20}",
    ]
}

proptest! {
    #[test]
    fn no_file_text_panics(text in any::<String>()) {
        let _ = load_toml(text);
    }

    #[test]
    fn no_value_panics(pairs in prop::collection::vec((name(), value(), 0..4u8), 0..12)) {
        let mut text = String::new();
        let mut env = Vec::new();
        for (name, value, how) in pairs {
            let quoted = toml::Value::from(value.as_str()).to_string();
            match how {
                0 => text.push_str(&format!("{name} = {quoted}\n")),
                1 => text.push_str(&format!("{name} = [{quoted}, {quoted}]\n")),
                // The files that a path could name are not this test's.
                _ if name.ends_with("_file") => {}
                _ => env.push((format!("AUTH_API__{}", name.replace('.', "__").to_uppercase()), value)),
            }
        }
        if let Err(problems) = load(Sources { file: Some(("/nonexistent/a.toml".into(), text)), env }) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(!problem.to_string().chars().any(char::is_control), "{}", problem);
            }
        }
    }
}
