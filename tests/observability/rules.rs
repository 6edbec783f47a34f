//! The alerts and the dashboard name what there is, and the runbook has an entry for each alert.

use super::{Scrape, traffic};
use crate::real::component;
use crate::support::Site;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(super) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/observability").join(name)
}

pub(super) fn read(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap()
}

/// The dashboard's queries, by panel.
pub(super) fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
    let of_panel = |panel: &Value| -> Vec<_> {
        let targets = panel["targets"].as_array().unwrap().iter();
        let title = panel["title"].as_str().unwrap();
        targets.map(|target| (title.to_owned(), target["expr"].as_str().unwrap().to_owned())).collect()
    };
    panels.flat_map(of_panel).collect()
}

/// The metrics that a text names, without what a histogram adds. A recorded series has a colon before such a name.
fn named(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c);
    let words =
        text.split(|c| !is_name(c)).filter(|word| word.starts_with("auth_api_") || word.starts_with("process_"));
    let base = |word: &str| {
        let suffix = ["_bucket", "_count", "_sum"].into_iter().find_map(|suffix| word.strip_suffix(suffix));
        suffix.filter(|base| base.ends_with("_seconds")).unwrap_or(word).to_owned()
    };
    words.map(base).collect()
}

#[tokio::test]
async fn the_alerts_and_the_dashboard_name_metrics_that_exist() {
    let site = Site::start().await;
    traffic(&site).await;
    let scrape = Scrape::of(&site.ops_url).await;
    let rules = read("rules.yaml");
    // Addresses are no expressions.
    let rules: Vec<_> =
        rules.lines().filter(|line| !line.contains("runbook_url") && !line.trim().starts_with('#')).collect();
    let dashboard: Vec<_> = queries().into_iter().map(|(_, query)| query).collect();
    for (what, text, least) in [("rules", rules.join("\n"), 15), ("dashboard", dashboard.join("\n"), 20)] {
        let named = named(&text);
        assert!(named.len() >= least, "{what}: {named:?}");
        let unknown: Vec<_> = named.iter().filter(|name| !scrape.names().contains(name.as_str())).collect();
        assert!(cfg!(not(target_os = "linux")) || unknown.is_empty(), "{what}: {unknown:?}");
    }
    // An alert about a bucket that is not there would never fire.
    for bound in rules.iter().filter_map(|line| line.split("le=\"").nth(1)?.split('"').next()) {
        for metric in rules.iter().filter(|line| line.contains(&format!("le=\"{bound}\""))) {
            let metric = named(metric).into_iter().next().unwrap();
            let is_of = |sample: &&String| sample.starts_with(&format!("{metric}_bucket"));
            let bound = format!("le=\"{bound}\"");
            assert!(scrape.samples.keys().filter(is_of).any(|sample| sample.contains(&bound)), "{metric} {bound}");
        }
    }
    let runbook = std::fs::read_to_string("src/guide/runbook.md").unwrap();
    assert!(named(&runbook).iter().all(|name| scrape.names().contains(name.as_str())), "{:?}", named(&runbook));
}

#[test]
fn each_alert_has_an_entry_in_the_runbook_and_a_test() {
    let (rules, tests) = (read("rules.yaml"), read("rules-test.yaml"));
    let after = |start: &'static str| rules.lines().filter_map(move |line| line.trim().strip_prefix(start));
    let alerts: Vec<_> = after("- alert: ").collect();
    let anchors: Vec<_> = after("runbook_url: ").map(|url| url.split_once('#').unwrap().1.to_owned()).collect();
    assert!(alerts.len() >= 15, "{alerts:?}");
    let expected: Vec<_> = alerts.iter().map(|alert| alert.to_lowercase()).collect();
    assert_eq!(anchors, expected);
    let runbook = std::fs::read_to_string("src/guide/runbook.md").unwrap();
    let entries: BTreeSet<_> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(entries, alerts.iter().copied().collect());
    for entry in runbook.split("\n## ").skip(1) {
        assert!(["**Means:**", "**Look at:**", "**Do:**"].iter().all(|part| entry.contains(part)), "{entry}");
    }
    for alert in alerts {
        let quiet = format!("alertname: {alert}}}\n");
        let fires = format!("alertname: {alert}\n        exp_alerts:\n          - ");
        assert!(tests.contains(&quiet) && tests.contains(&fires), "{alert} is not tested both ways");
    }
    let severities: BTreeSet<_> = after("labels: ").collect();
    assert_eq!(severities, ["{severity: page}", "{severity: ticket}"].into());
}

#[test]
fn the_panels_of_the_dashboard_do_not_overlap() {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{}", panel["title"]);
        let free = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))).all(|place| taken.insert(place));
        assert!(free, "{}", panel["title"]);
    }
}

/// What `promtool` says of its input, and whether it is content.
fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    use std::io::Write;
    let mut command = Command::new(component("promtool"));
    let command = command.args(arguments).current_dir(file("")).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), text)
}

#[tokio::test]
#[ignore = "needs promtool"]
async fn promtool_finds_nothing_to_say_of_a_scrape() {
    let site = Site::start().await;
    traffic(&site).await;
    let scrape = Scrape::of(&site.ops_url).await;
    assert_eq!(promtool(&["check", "metrics"], &scrape.text), (true, String::new()));
    // It does speak of what is wrong.
    let wrong = scrape.text.replace("auth_api_sign_outs_total", "auth_api_sign_outs");
    let (content, remarks) = promtool(&["check", "metrics"], &wrong);
    assert!(!content && remarks.contains("auth_api_sign_outs"), "{remarks}");
}

#[test]
#[ignore = "needs promtool"]
fn the_alerts_fire_when_they_should_and_not_before() {
    for arguments in [&["check", "config", "prometheus.yml"][..], &["check", "rules", "rules.yaml"]] {
        let (content, text) = promtool(arguments, "");
        assert!(content && text.contains("SUCCESS"), "{text}");
    }
    let (content, text) = promtool(&["test", "rules", "rules-test.yaml"], "");
    assert!(content && text.contains("SUCCESS"), "{text}");
}
