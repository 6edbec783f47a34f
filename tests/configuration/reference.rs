//! The printed reference against what is really read.

use auth_api::config::{reference, reloadable, schema};
use serde_json::{Value, json};

use super::{KEY, load_toml};

/// Keys that name a file, which is not there.
const FILES: [&str; 12] = [
    "tls_cert_file",
    "tls_key_file",
    "client_secret_file",
    "keys_file",
    "store_file",
    "url_file",
    "trigger_keys_file",
    "clients",
    "logo",
    "favicon",
    "words",
    "stylesheet",
];

/// The reference with its example key replaced and the chosen commented lines made real.
fn uncommented(line_counts: impl Fn(&str) -> bool) -> String {
    let key = reference().lines().find(|line| line.starts_with("keys = ")).unwrap().to_owned();
    let real = reference().replace(&key, &format!("keys = [\"{KEY}\"]"));
    let keep = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') && line_counts(rest) => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    real.lines().map(keep).collect()
}

#[test]
fn the_reference_loads_once_its_cookie_key_is_replaced() {
    let found = load_toml(reference()).unwrap_err();
    assert_eq!((found.len(), found[0].key.as_str()), (1, "cookies.keys"));
    assert!(found[0].to_string().contains("openssl rand"), "{}", found[0]);
    load_toml(uncommented(|_| false)).unwrap();
}

#[test]
fn the_reference_shows_the_defaults() {
    let as_printed = load_toml(uncommented(|_| false)).unwrap();
    let defaults = uncommented(|line| !line.ends_with("# example"));
    assert!(defaults.contains("\ntimeout = \"10s\"\n") && defaults.contains("\nops_listen = \"127.0.0.1:9090\"\n"));
    assert_eq!(format!("{as_printed:?}"), format!("{:?}", load_toml(defaults).unwrap()));
}

#[test]
fn the_reference_shows_every_key_and_no_other() {
    let every = uncommented(|line| !FILES.iter().any(|name| line.starts_with(&format!("{name} = "))));
    let config = load_toml(every.clone()).unwrap();
    assert_eq!(config.cookies.domain.as_deref(), Some("example.com"));
    assert_eq!(config.return_hosts().len(), 2);
    assert!(config.provider.jwks_uri.is_some());
    let table: toml::Table = uncommented(|_| true).parse().unwrap();
    assert!(FILES.iter().all(|name| reference().contains(&format!("\n#{name} = "))));
    let schema = schema();
    for (section, known) in schema["properties"].as_object().unwrap() {
        // Arrays of tables are shown in the introductions.
        let known = known["properties"].as_object().unwrap().iter().filter(|(_, key)| key["items"]["type"] != "object");
        let shown = table[section].as_table().unwrap().keys().collect::<Vec<_>>();
        let mut known: Vec<_> = known.map(|(name, _)| name).collect();
        known.sort();
        assert_eq!(shown, known, "{section}");
    }
    assert_eq!(table.len(), schema["properties"].as_object().unwrap().len());
    assert!(reference().lines().all(|line| line.chars().count() <= 120));
}

#[test]
fn the_blocks_that_the_reference_shows_are_good_without_their_comment_signs() {
    let text = reference();
    let block = |first: &str| -> String {
        let example = text.lines().skip_while(|line| !line.starts_with(first));
        example.map_while(|line| line.strip_prefix('#')).map(|line| format!("{line}\n")).collect()
    };
    let example = block("# [[machine.upstream]]");
    let hash = auth_api::domain::machine::SecretHash::of("a secret").to_string();
    let example = example.replace("sha256:…", &hash).replace("client_secret_file", "client_secret");
    let config = load_toml(format!("{}{example}", super::toml(&[]))).unwrap();
    assert_eq!(config.machine.read_clients().unwrap()["nightly-report"].scopes.to_string(), "reports/read");
    let example = block("# [[policy.site]]");
    let base = super::toml(&[("server.trusted_proxies", "[\"10.0.0.7\"]")]);
    let issuers = block("# [[provider.bearer_issuer]]");
    let config = load_toml(format!("{base}{issuers}{example}")).unwrap();
    assert_eq!((config.policy.site.is_empty(), config.provider.bearer_issuer.len()), (false, 1));
}

/// What breaks a schema, of the vocabulary that ours has (JSON Schema 2020-12).
fn violations(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    let right = match schema["type"].as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        other => panic!("{at}: {other}"),
    };
    let bound = |name: &str| schema[name].as_f64().zip(value.as_f64());
    let units = |text: &str| text.trim_start_matches(|c: char| c.is_ascii_digit()).to_owned();
    let wrong = [
        ("type", !right),
        ("enum", schema["enum"].as_array().is_some_and(|words| !words.contains(value))),
        ("minimum", bound("minimum").is_some_and(|(least, value)| value < least)),
        ("maximum", bound("maximum").is_some_and(|(most, value)| value > most)),
        // The only pattern is that of durations.
        (
            "pattern",
            schema["pattern"] == "^[0-9]+(ms|s|m|h|d)$"
                && !value.as_str().is_some_and(|text| ["ms", "s", "m", "h", "d"].contains(&units(text).as_str())),
        ),
    ];
    found.extend(wrong.iter().filter(|(_, wrong)| *wrong).map(|(rule, _)| format!("{at}: {rule}")));
    for item in value.as_array().into_iter().flatten() {
        found.extend(violations(&schema["items"], item, at));
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        match &schema["properties"][name] {
            Value::Null => found.push(format!("{at}.{name}: additionalProperties")),
            property => found.extend(violations(property, value, &format!("{at}.{name}"))),
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value[name].is_null() {
            found.push(format!("{at}.{name}: required"));
        }
    }
    found
}

fn breaks(text: &str) -> Vec<String> {
    violations(&schema(), &serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap(), "")
}

#[test]
fn the_schema_accepts_the_reference_and_the_guides() {
    assert_eq!(schema()["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for text in [uncommented(|_| false), uncommented(|_| true)] {
        assert_eq!(breaks(&text), Vec::<String>::new());
    }
    let pages = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide")).unwrap();
    let pages = pages.map(|page| page.unwrap().path()).filter(|page| page.extension().is_some_and(|e| e == "md"));
    let text: String = pages.map(|page| std::fs::read_to_string(page).unwrap()).collect();
    let snippets: Vec<_> = text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(snippets.len() > 3);
    for snippet in snippets {
        assert_eq!(breaks(snippet), Vec::<String>::new(), "{snippet}");
    }
}

#[test]
fn the_schema_refuses_what_is_not_a_configuration() {
    for (text, broken) in [
        ("[server]\nlisten_on = \"127.0.0.1:1\"", ".server.listen_on: additionalProperties"),
        ("[sever]", ".sever: additionalProperties"),
        ("[server]\nlisten = 1", ".server.listen: type"),
        ("[provider]\nprofile = \"Cognito\"", ".provider.profile: enum"),
        ("[provider]\nscopes = \"openid\"", ".provider.scopes: type"),
        ("[provider]\nrequests_per_second = 0", ".provider.requests_per_second: minimum"),
        ("[provider]\ntimeout = \"10\"", ".provider.timeout: pattern"),
        ("[cookies]\nexpose = [\"refresh_token\"]", ".cookies.expose: enum"),
        ("[gateway]\npreflights = 1", ".gateway.preflights: type"),
        ("[machine]\nprice_per_1000 = \"2\"", ".machine.price_per_1000: type"),
        ("[[policy.site]]\npath = \"/\"", ".policy.site.host: required"),
        ("[[policy.site]]\nhost = \"a\"\ngroup = []", ".policy.site.group: additionalProperties"),
    ] {
        assert_eq!(breaks(text), [broken], "{text}");
    }
    let key = &schema()["properties"]["session"]["properties"]["per_user"];
    assert_eq!((&key["type"], &key["default"]), (&json!("integer"), &json!(100)));
}

#[test]
fn a_reload_takes_what_operators_change_while_people_are_signed_in() {
    assert_eq!(
        reloadable(),
        [
            "server.tls_cert_file",
            "server.tls_key_file",
            "provider.client_secret",
            "provider.client_secret_file",
            "cookies.keys",
            "cookies.keys_file",
            "return_to.default",
            "return_to.allow",
            "policy.email_domains",
            "policy.groups",
            "policy.site",
            "machine.clients",
            "machine.client",
            "telemetry.log",
        ]
    );
}
