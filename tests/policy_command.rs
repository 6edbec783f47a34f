//! `auth-api policy explain`: an operator asks why somebody is let in, or not.

use crate::forward_auth::RULES;
use crate::support::Browser;
use crate::support::process::{run, serve, sign_in, terminate};
use std::path::Path;

const BASE: &str = r#"
[server]
public_url = "http://auth-api.app.localhost:8080"
trusted_proxies = ["127.0.0.1"]
[provider]
issuer = "http://127.0.0.1:1/dev"
profile = "oidc"
client_id = "x"
[cookies]
domain = "app.localhost"
keys = ["0123456789 of a key for this test 9876543210"]
[policy]
groups = ["staff", "admins"]
"#;

fn explain(folder: &Path, url: &str, who: &[&str]) -> (i32, String) {
    let output = run(folder, &[&["policy", "explain", "--url", url], who].concat());
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    (output.status.code().unwrap(), format!("{out}{err}"))
}

#[test]
fn it_says_which_rule_decides_and_why() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("auth-api.toml"), format!("{BASE}{RULES}")).unwrap();
    let wiki = |path: &str| format!("http://wiki.app.localhost:4000{path}");
    for (path, who, code, words) in [
        ("/admin/x?y", &["--groups", "staff"][..], 1, "denied by wiki.app.localhost/admin: this needs membership"),
        ("/admin/x", &["--groups", "staff,owners"], 0, "decision  allowed"),
        ("/x", &["--groups", "staff"], 0, "none: everybody who is signed in"),
        ("/x", &["--groups", "guests"], 1, "may not sign in at all"),
        ("/public/x", &["--groups", ""], 0, "wiki.app.localhost/public: everybody"),
        ("/public/../x", &["--groups", "staff"], 0, "can be read in several ways"),
        ("/mail", &["--groups", "staff", "--email", "a@example.com"], 0, "an e-mail address at example.com"),
        ("/x", &["--groups", "", "--machine"], 1, "without a rule: this is for people"),
        ("/admin/x", &["--groups", "", "--machine"], 1, "this is for people"),
        ("/mail", &["--groups", "staff"], 1, "verified e-mail: none"),
        ("/a#b", &["--groups", "staff"], 1, "refused"),
    ] {
        let (exit, said) = explain(folder.path(), &wiki(path), who);
        assert_eq!(exit, code, "{path} {who:?}: {said}");
        assert!(said.contains(words), "{path} {who:?}: {said}");
    }
    let (exit, said) = explain(folder.path(), "https://evil.test/", &["--groups", "staff"]);
    assert!(exit == 1 && said.contains("not in return_to.allow"), "{said}");
    for bad in [&["--groups", "a", "--sub", "b"][..], &[], &["--sub", "b", "--email", "c"]] {
        assert_eq!(explain(folder.path(), &wiki("/"), bad).0, 2, "{bad:?}");
    }
}

#[test]
fn it_says_what_a_token_of_a_further_issuer_opens() {
    let (folder, further) = (tempfile::tempdir().unwrap(), "https://login.partner.example");
    let issuer =
        format!("[[provider.bearer_issuer]]\nissuer = \"{further}\"\nprofile = \"oidc\"\naccepted_clients = [\"a\"]\n");
    let feed = format!(
        "[[policy.site]]\nhost = \"wiki.app.localhost\"\npath = \"/feed\"\nissuers = [\"{further}\"]\nscopes = [\"feed\"]\n"
    );
    let base = BASE.replace("groups = [\"staff\", \"admins\"]", "");
    std::fs::write(folder.path().join("auth-api.toml"), format!("{base}{issuer}{feed}")).unwrap();
    let machine = ["--groups", "", "--machine", "--scopes", "feed"];
    for (path, iss, code, words) in [
        ("/feed", Some(further), 0, "the scopes feed, and a token of https://login.partner.example"),
        ("/feed", None, 1, "this is not for tokens of the provider"),
        ("/feed", Some("http://127.0.0.1:1/dev"), 1, "this is not for tokens of the provider"),
        ("/x", Some(further), 1, "without a rule"),
        ("/feed", Some("https://nobody.example"), 1, "nobody accepts tokens of"),
    ] {
        let issuer: Vec<_> = iss.iter().flat_map(|iss| ["--issuer", *iss]).collect();
        let (exit, said) =
            explain(folder.path(), &format!("http://wiki.app.localhost{path}"), &[&machine, &*issuer].concat());
        assert!(exit == code && said.contains(words), "{path} {iss:?}: {exit} {said}");
    }
}

#[tokio::test]
async fn a_user_who_is_signed_in_is_known_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (mut service, _pool) = serve(folder.path()).await;
    let erin = Browser::new();
    sign_in(&service, &erin).await;
    let known = erin.get(&format!("{}/validate", service.url)).await.json();
    let sub = known["sub"].as_str().unwrap().to_owned();
    // Its file has one process at a time.
    terminate(&service.child);
    assert!(service.child.wait().unwrap().success());
    let file = folder.path().join("auth-api.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("[provider]", "trusted_proxies = [\"127.0.0.1\"]\n[provider]");
    std::fs::write(&file, format!("{text}{RULES}")).unwrap();
    let (exit, said) = explain(folder.path(), "http://wiki.app.localhost/mail", &["--sub", &sub]);
    assert!(exit == 0 && said.contains("verified e-mail: jane@example.com"), "{said}");
    let (exit, said) = explain(folder.path(), "http://wiki.app.localhost/admin", &["--sub", &sub]);
    assert!(exit == 1 && said.contains("admins, owners"), "{said}");
    let (exit, said) = explain(folder.path(), "http://wiki.app.localhost/admin", &["--sub", "nobody"]);
    assert!(exit == 1 && said.contains("has no session"), "{said}");
}
