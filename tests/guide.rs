//! The README, the guide and the deployments' pages say what holds: configurations load, links lead somewhere, and
//! commands, metrics, keys and problem types exist. A failure names file and line.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test stops where it fails; so do the steps it shares")]

mod markdown;

use crate::support::process::run;
use auth_api::config::{Sources, load, reference};
use auth_api::domain::machine::SecretHash;
use auth_api::telemetry::Metrics;
use auth_api::telemetry::metrics::{HttpRoute, Observations, ValidateResult};
use markdown::{Page, pages, root};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use toml::{Table, Value};

/// What each block of TOML is merged onto.
const BASE: &str = r#"
[server]
public_url = "https://auth-api.example.com"
trusted_proxies = ["10.0.0.7"]
[provider]
issuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI"
client_id = "6o7h8i9j0k"
[cookies]
domain = "example.com"
keys = ["0123456789 of a key for this test 9876543210"]
"#;

/// Code spans that begin like a command and are a line of the log.
const LOG_LINES: [&str; 1] = ["auth-api is up"];

/// Everything that `check` finds on all pages, as `file:line what`.
fn on_every_page(check: impl Fn(&Page, &mut dyn FnMut(usize, String))) {
    let mut remarks = vec![];
    for page in pages() {
        check(&page, &mut |line, what| remarks.push(format!("{}:{line} {what}", page.path.display())));
    }
    assert!(remarks.is_empty(), "\n\n{}\n", remarks.join("\n"));
}

#[test]
fn every_configuration_loads() {
    on_every_page(|page, remark| {
        for block in page.blocks.iter().filter(|block| block.language == "toml") {
            if let Err(why) = loads(&block.lines.join("\n")) {
                remark(block.line, why);
            }
        }
    });
}

fn loads(block: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let mut whole: Table = BASE.parse().unwrap();
    for (section, value) in block.parse::<Table>().map_err(|e| e.to_string())? {
        match (whole.get_mut(&section).and_then(Value::as_table_mut), value) {
            (Some(whole), Value::Table(more)) => whole.extend(more),
            (_, value) => drop(whole.insert(section, value)),
        }
    }
    complete(&mut whole, folder.path());
    let file = folder.path().join("auth-api.toml");
    let config = load(Sources { file: Some((file, whole.to_string())), env: vec![] });
    let config = config.map_err(|problems| format!("{problems:#?}"))?;
    config.machine.read_clients().map_err(|problems| format!("{problems:#?}"))?;
    Ok(())
}

/// Puts what only a machine in production has in its place: files with secrets, a folder of clients, hashes.
fn complete(table: &mut Table, folder: &Path) {
    if table.contains_key("keys_file") {
        table.remove("keys");
    }
    for (key, value) in table.iter_mut() {
        let content = match key.as_str() {
            "client_secret_file" => "secret",
            "logo" | "favicon" => "<svg/>",
            "words" | "stylesheet" => "",
            "keys_file" => "0123456789 of a key for this test 9876543210",
            "store_file" => "redis://redis:6379/0",
            "clients" => {
                std::fs::create_dir(folder.join(value.as_str().unwrap())).unwrap();
                continue;
            }
            "secret_hashes" => {
                *value = vec![SecretHash::of("a secret").to_string()].into();
                continue;
            }
            _ => {
                match value {
                    Value::Table(table) => complete(table, folder),
                    Value::Array(all) => {
                        all.iter_mut().filter_map(Value::as_table_mut).for_each(|table| complete(table, folder));
                    }
                    _ => {}
                }
                continue;
            }
        };
        let file = folder.join(key);
        std::fs::write(&file, content).unwrap();
        *value = file.to_str().unwrap().into();
    }
}

#[test]
fn every_link_leads_somewhere() {
    on_every_page(|page, remark| {
        let folder = page.path.parent().unwrap();
        for (line, link) in page.links() {
            let link = match link {
                Ok(link) if link.starts_with("https://") => continue,
                Ok(link) => link,
                Err(why) => {
                    remark(line, why);
                    continue;
                }
            };
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.path.clone() } else { folder.join(file) };
            if !root().join(&target).exists() {
                remark(line, format!("{file} does not exist"));
            } else if !anchor.is_empty() && !Page::read(&target).anchors().iter().any(|known| known == anchor) {
                remark(line, format!("{file} has no heading for #{anchor}"));
            }
        }
    });
}

#[test]
fn every_page_of_the_guide_is_in_the_index_and_in_rustdoc() {
    let library = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let index = std::fs::read_to_string(root().join("src/guide/README.md")).unwrap();
    for page in pages().iter().filter(|page| page.path.starts_with("src/guide") && !page.path.ends_with("README.md")) {
        let label = page.path.file_stem().unwrap().to_str().unwrap();
        assert!(library.contains(&format!("    \"{label}\" {}\n", label.replace('-', "_"))), "lib.rs lacks {label}");
        assert!(index.contains(&format!("][{label}]")), "the index lacks {label}");
    }
}

#[test]
fn every_command_is_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let help = |words: &[&str]| {
        let output = run(folder.path(), &[words, &["--help"]].concat());
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    };
    on_every_page(|page, remark| {
        let shell = page.blocks.iter().filter(|block| block.language == "sh");
        let shell = shell.flat_map(|block| (block.line + 1..).zip(block.lines.iter().map(String::as_str)));
        for (line, text) in shell.chain(page.spans()).filter(|(_, text)| !LOG_LINES.contains(text)) {
            let Some(words) = text.strip_prefix("auth-api ").or_else(|| text.strip_prefix("cargo run -- ")) else {
                continue;
            };
            let words = words.split_whitespace().take_while(|word| !["#", ">", "&&", "|"].contains(word));
            let words: Vec<&str> = words.collect();
            let (command, rest) = words.split_at(words.iter().position(|w| w.starts_with('-')).unwrap_or(words.len()));
            let Some(help) = help(command) else {
                remark(line, format!("there is no command `auth-api {}`", command.join(" ")));
                continue;
            };
            for flag in rest.iter().filter(|word| word.starts_with("--")) {
                if !help.split_whitespace().any(|word| word == *flag) {
                    remark(line, format!("`auth-api {}` has no {flag}", command.join(" ")));
                }
            }
        }
    });
}

#[test]
fn every_metric_exists() {
    let known = metrics();
    on_every_page(|page, remark| {
        for (line, text) in page.lines() {
            for rest in text.split("auth_api_").skip(1) {
                let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                if !known.contains(&format!("auth_api_{name}")) {
                    remark(line, format!("there is no metric auth_api_{name}"));
                }
            }
        }
    });
}

#[test]
fn every_metric_is_in_the_guide() {
    let operations = std::fs::read_to_string("src/guide/operations.md").unwrap();
    let names = metrics();
    for name in ["auth_api_sign_ins_total", "auth_api_degraded", "auth_api_sessions", "process_cpu_seconds_total"] {
        assert!(names.contains(name) || !cfg!(target_os = "linux"), "{name}");
    }
    for name in names {
        assert!(operations.contains(&format!("`{name}`")), "src/guide/operations.md forgets {name}");
    }
}

/// The names as Prometheus shows them.
fn metrics() -> BTreeSet<String> {
    let metrics = Metrics::default();
    metrics.sign_in("");
    metrics.refresh("");
    metrics.validate(ValidateResult::Session);
    metrics.provider("", "", Duration::ZERO);
    metrics.machine_token("");
    metrics.machine_call(true);
    metrics.background_task_ended("");
    metrics.reload(true);
    metrics.store("", "", Duration::ZERO);
    drop(metrics.request(HttpRoute::VALIDATE, &http::Method::GET));
    let keys_fetched = vec![(String::new(), 1)];
    let observed =
        Observations { degraded: vec![("store", 0)], sessions: Some(1), keys_fetched, ..Observations::default() };
    let text = metrics.render(&observed);
    text.lines().filter_map(|line| Some(line.strip_prefix("# TYPE ")?.split_once(' ')?.0.to_owned())).collect()
}

#[test]
fn every_label_of_validates_is_in_the_guide_and_no_other() {
    let text = Metrics::default().render(&Observations::default());
    let results = text.lines().filter_map(|line| line.strip_prefix("auth_api_validates_total{result=\""));
    let results: BTreeSet<_> = results.filter_map(|rest| rest.split('"').next()).collect();
    let operations = Page::read(Path::new("src/guide/operations.md"));
    let (line, row) = operations.prose.iter().find(|(_, row)| row.starts_with("| `auth_api_validates_total`")).unwrap();
    let named: BTreeSet<_> = row.split('`').skip(1).step_by(2).skip(2).take(results.len()).collect();
    assert_eq!(named, results, "{}:{line}", operations.path.display());
}

#[test]
fn every_configuration_key_exists() {
    let reference = reference();
    let sections = sections(&reference);
    let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let exists = |section: &str, key: &str| {
        sections.get(section).is_some_and(|keys| keys.contains(key))
            || reference.contains(&format!("# [[{section}.{key}]]"))
    };
    // A known section or a known key is enough to be meant as one; file names are not.
    let is_meant = |section: &str, key: &str| {
        let known = sections.contains_key(section) || sections.values().any(|keys| keys.contains(key));
        // OpenTelemetry's `service.name` is none.
        known && section != "service" && is_name(section) && is_name(key) && !["rs", "md", "toml"].contains(&key)
    };
    on_every_page(|page, remark| {
        for (line, span) in page.spans() {
            let name = span.split(" = ").next().unwrap_or_default();
            if let Some(block) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                if !reference.contains(name) {
                    remark(line, format!("there is no section [{block}]"));
                }
            } else if let Some((section, key)) = name.split_once('.')
                && is_meant(section, key)
                && !exists(section, key)
            {
                remark(line, format!("there is no key {name}"));
            }
        }
        for (line, text) in page.lines() {
            for rest in text.split("AUTH_API__").skip(1) {
                let name: String = rest.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
                let name = name.to_lowercase();
                let known = name
                    .split_once("__")
                    .is_some_and(|(section, key)| sections.get(section).is_some_and(|keys| keys.contains(key)));
                if !name.is_empty() && !known {
                    remark(line, format!("there is no variable AUTH_API__{}", name.to_uppercase()));
                }
            }
        }
    });
}

/// The names of the keys in each section of the reference, commented or not.
fn sections(reference: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut sections = BTreeMap::<_, BTreeSet<_>>::new();
    let mut section = "";
    for line in reference.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if let Some((key, _)) = line.split_once(" = ") {
            sections.entry(section).or_default().insert(key.trim_start_matches('#'));
        }
    }
    sections
}

#[test]
fn every_problem_type_exists_and_is_in_the_guide() {
    let mut sources = String::new();
    for entry in std::fs::read_dir(root().join("src/web")).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_some_and(|e| e == "rs") {
            sources += &std::fs::read_to_string(entry).unwrap();
        }
    }
    on_every_page(|page, remark| {
        for (line, slug) in problem_types(page) {
            if !sources.contains(&format!("\"{slug}\"")) {
                remark(line, format!("there is no problem type {slug}"));
            }
        }
    });
    let page = Page::read(Path::new("src/guide/problems.md"));
    let listed: BTreeSet<_> = problem_types(&page).into_iter().map(|(_, slug)| slug).collect();
    let document = auth_api::web::openapi("https://auth-api.example.com").to_string();
    for rest in document.split("urn:auth-api:problem:").skip(1) {
        let slug: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        assert!(slug.is_empty() || listed.contains(&slug), "problems.md lacks {slug}");
    }
}

/// A type is named in full, after a status (401 `session-ended`), or on the page of problem types.
fn problem_types(page: &Page) -> Vec<(usize, String)> {
    let own = page.path.ends_with("problems.md");
    let mut types = vec![];
    for (line, text) in page.lines() {
        for rest in text.split("urn:auth-api:problem:").skip(1) {
            types.push((line, rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect()));
        }
        let parts: Vec<_> = text.split('`').collect();
        for around in parts.windows(2).step_by(2) {
            let (before, span) = (around[0], around[1]);
            let status = before.trim_end().rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            let named = status.len() == 3 || own && (span.contains('-') || before == "| ");
            if named && span.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
                types.push((line, span.to_owned()));
            }
        }
    }
    types.retain(|(_, slug)| !slug.is_empty());
    types
}
