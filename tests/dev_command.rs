//! What `auth-api dev` says can be tried can be tried.

use crate::real::{component, variable};
use crate::support::process::command;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Killed when the test is over.
struct Dev(Child);

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs curl"]
fn a_machine_token_is_fetched_and_shown_by_copy_and_paste() {
    let folder = tempfile::tempdir().unwrap();
    let mut dev = command(folder.path());
    let mut dev = Dev(dev.args(["dev", "--port", "0"]).stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(dev.0.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let greeting: Vec<String> = lines.take_while(|line| !line.contains("Ctrl-C")).collect();
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
