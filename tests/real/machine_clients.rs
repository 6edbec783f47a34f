//! Programs fetch tokens with OAuth clients that nobody here wrote: authlib and requests-oauthlib in Python,
//! openid-client in Node.

use super::{below, component, installed};
use crate::support::Site;
use auth_api::dev::pool::PoolEndpoint;
use auth_api::domain::machine::SecretHash;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const SECRET: &str = "p2uPz1XWg8vTQyJ0m4sLr6Kd9hNcAeBf3iVoUw5xYkM";
const ODD_SECRET: &str = "a+secret/with=odd%characters:in it & é";

/// A service with two registered clients that the same app client serves, and what a script is told of them.
async fn site() -> (Site, Value, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let client = |id: &str, secret: &str| {
        let hash = SecretHash::of(secret);
        format!(
            "[[machine.client]]\nid = \"{id}\"\nsecret_hashes = [\"{hash}\"]\nowner = \"data team\"\n\
             scopes = [\"cms/read\"]\nupstream = \"dev\"\n"
        )
    };
    let upstream = "[[machine.upstream]]\nname = \"dev\"\nclient_id = \"dev-cms-client\"\n";
    let secret = "client_secret = \"dev-cms-secret\"\n";
    let text = [upstream, secret, &client("nightly", SECRET), &client("odd.one_2-x", ODD_SECRET)].concat();
    let file = folder.path().join("auth-api.toml");
    std::fs::write(&file, text).unwrap();
    let site = Site::with_file(&file, &[]).await;
    let told = json!({
        "issuer": site.auth_url, "url": site.auth_url.replace("auth-api.app.localhost", "127.0.0.1"),
        "id": "nightly", "secret": SECRET, "odd_id": "odd.one_2-x", "odd_secret": ODD_SECRET,
    });
    (site, told, folder)
}

/// A Python that has the libraries.
fn python() -> PathBuf {
    installed("authlib and requests-oauthlib", "python/.venv/bin/python")
}

/// A script that ends well, or the test does not.
async fn script(program: PathBuf, name: &'static str, told: Value) {
    let run = move || {
        let path = below(name);
        let mut command = Command::new(program);
        // Nothing of ours is to be seen, a proxy's address least of all.
        command.env_clear().env("PYTHONDONTWRITEBYTECODE", "1").current_dir(path.parent().unwrap()).arg(&path);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        child.stdin.take().unwrap().write_all(told.to_string().as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&said));
}

#[tokio::test]
#[ignore = "needs authlib"]
async fn authlib_fetches_uses_and_revokes_a_token() {
    let python = python();
    let (site, told, _folder) = site().await;
    script(python, "python/with_authlib.py", told).await;
    assert_eq!(
        site.pool.count(PoolEndpoint::TokenClientCredentials),
        3,
        "one before the revocation, one after, one of the other client"
    );
}

#[tokio::test]
#[ignore = "needs requests-oauthlib"]
async fn requests_oauthlib_fetches_and_uses_a_token() {
    let python = python();
    let (site, told, _folder) = site().await;
    script(python, "python/with_requests_oauthlib.py", told).await;
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), 2, "one for each client");
}

#[tokio::test]
#[ignore = "needs openid-client"]
async fn openid_client_discovers_fetches_introspects_and_revokes() {
    installed("openid-client", "openid-client/node_modules/openid-client");
    let (site, told, _folder) = site().await;
    script(component("node"), "openid-client/client.mjs", told).await;
    assert_eq!(
        site.pool.count(PoolEndpoint::TokenClientCredentials),
        3,
        "one before the revocation, one after, one of the other client"
    );
}
