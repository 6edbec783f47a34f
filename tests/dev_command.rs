//! What `auth-api dev` says can be tried can be tried.

mod own_config;
mod your_app;

use crate::real::{component, variable};
use crate::support::Browser;
use crate::support::process::command;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running `auth-api dev` on free ports, and what it said; killed when the test is over.
struct Dev {
    child: Child,
    banner: Vec<String>,
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Dev {
    fn start(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut dev = command(folder);
        dev.args(["dev", "--port", "0"]).args(arguments).envs(variables.iter().copied());
        let mut child = dev.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
        let banner: Vec<String> = lines.take_while(|line| !line.contains("Ctrl-C")).collect();
        assert!(!banner.is_empty(), "it did not start");
        Self { child, banner }
    }

    /// What stands behind a word of the banner.
    fn line(&self, start: &str) -> &str {
        let line = self.banner.iter().find_map(|line| line.trim_start().strip_prefix(start));
        line.unwrap_or_else(|| panic!("no {start}: {:#?}", self.banner)).trim()
    }

    /// An address of the service.
    fn auth(&self, path: &str) -> String {
        format!("{}{path}", self.line("auth-api "))
    }

    /// A browser that has tried to sign in, and the status of the callback.
    async fn sign_in(&self, user: &str) -> (Browser, u16) {
        let browser = Browser::new();
        let authorize = browser.get(&self.auth("/auth/signin")).await.location();
        let callback = browser.log_in(&authorize, user).await;
        let status = browser.get(&callback).await.status;
        (browser, status)
    }
}

#[test]
#[ignore = "needs curl"]
fn a_machine_token_is_fetched_and_shown_by_copy_and_paste() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &[], &[]);
    let greeting = &dev.banner;
    let at = greeting.iter().position(|line| line.trim_start().starts_with("TOKEN=$(curl ")).unwrap();
    let pasted = greeting[at..at + 2].join("\n");
    assert!(pasted.contains("/token") && pasted.contains("/validate"), "{pasted}");

    component("curl");
    let sh = |script: &str| {
        // No proxy's address, and no .curlrc.
        let output =
            Command::new("sh").env_clear().env("PATH", variable("PATH").unwrap()).args(["-c", script]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let shown: serde_json::Value = serde_json::from_str(&sh(&pasted)).unwrap();
    assert_eq!((&shown["kind"], &shown["client_id"]), (&"machine".into(), &"nightly-report".into()), "{shown}");
    assert_eq!(shown["upstream_client_id"], "dev-machine-client");
    assert_eq!(shown["scopes"], serde_json::json!(["https://api.example.com/orders.read"]));

    // The caller's own app client, as the greeting says.
    let own = greeting.iter().find_map(|line| line.split_once("dev-machine-client:")).unwrap().1;
    let secret: String = own.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let pasted = pasted.replace("nightly-report:dev-report-secret", &format!("dev-machine-client:{secret}"));
    let shown: serde_json::Value = serde_json::from_str(&sh(&pasted)).unwrap();
    assert_eq!(shown["kind"], "machine", "{shown}");
}

#[tokio::test]
async fn a_first_sign_in_with_a_provider_has_groups_and_the_legacy_id() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path(), &[], &[]);
    let browser = Browser::new();
    let authorize = browser.get(&dev.auth("/auth/signin?provider=Google")).await.location();
    let page = browser.get(&authorize).await.location();
    let csrf = browser.get(&page).await.between("name=\"_csrf\" value=\"", "\"");
    let larry = [("_csrf", csrf.as_str()), ("identity", "108347000000000000003")];
    let back = browser.post(&page, &larry).await.location();
    assert_eq!(browser.get(&back).await.status, 302);
    let known = browser.get(&dev.auth("/validate")).await.json();
    assert_eq!((&known["groups"], &known["provider"]), (&serde_json::json!(["readers"]), &"Google".into()), "{known}");
    assert_eq!(known["attributes"]["custom:legacy_id"], "4711");
}
