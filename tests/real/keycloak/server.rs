//! A Keycloak of its own for all tests of a run, with a realm for each.

use crate::real::{component, installed, variable};
use crate::support::{Answer, Browser, free_port};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// Who administers it: a client, since its secret is not hashed at length.
const ADMINISTRATOR: (&str, &str) = ("administrator", "secret-of-administrator");

pub(super) struct Keycloak {
    url: String,
    _child: Child,
    /// It ends when this does, which is with the tests' process: nobody drops what is static.
    _alive: ChildStdin,
    _folder: TempDir,
}

impl Keycloak {
    pub(super) async fn running() -> &'static Self {
        static RUNNING: OnceCell<Keycloak> = OnceCell::const_new();
        component("java");
        let program = installed("Keycloak", "keycloak/.server/bin/kc.sh");
        let started = async || tokio::task::spawn_blocking(move || start(&program)).await.unwrap();
        RUNNING.get_or_init(started).await
    }

    /// A realm as `realm.json` describes it, with a name of its own.
    pub(super) async fn realm(&'static self) -> Realm {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("realm-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let realm = Realm { keycloak: self, name };
        let described = include_str!("realm.json").replace("REALM", &realm.name);
        let described: Value = serde_json::from_str(&described).unwrap();
        self.administer(Method::POST, "", Some(described)).await;
        realm
    }

    /// The admin REST API, as an administrator; `path` is below its realms.
    async fn administer(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let (id, secret) = ADMINISTRATOR;
        let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
        // A new one each time: they live for a minute.
        let answer =
            Browser::new().post(&format!("{}/realms/master/protocol/openid-connect/token", self.url), &form).await;
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        let what = format!("{method} {path}");
        let shape = |request: reqwest::RequestBuilder| match &body {
            Some(body) => request.bearer_auth(&token).json(body),
            None => request.bearer_auth(&token),
        };
        let answer = Browser::new().send(method, &format!("{}/admin/realms{path}", self.url), shape).await;
        assert!((200..300).contains(&answer.status), "{what}: {answer:?}");
        answer
    }
}

/// Starts it, and waits until it says where it listens. A port can be lost between asking and binding: once more.
fn start(program: &Path) -> Keycloak {
    const RUN: &str = "\"$0\" \"$@\" & server=$!; exec >&-; cat >/dev/null; kill $server; wait $server";
    for _ in 0..5 {
        let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
        let mut child = Command::new("sh")
            .args(["-c", RUN])
            .arg(program)
            .args(["start", "--optimized", "--cache=local", "--http-enabled=true", "--hostname-strict=false"])
            .args(["--http-host=127.0.0.1", &format!("--http-port={port}"), "--log-level=warn,io.quarkus:info"])
            .env_clear()
            .env("PATH", variable("PATH").unwrap())
            .env("HOME", folder.path())
            .env("KC_BOOTSTRAP_ADMIN_CLIENT_ID", ADMINISTRATOR.0)
            .env("KC_BOOTSTRAP_ADMIN_CLIENT_SECRET", ADMINISTRATOR.1)
            .env("JAVA_OPTS_KC_HEAP", "-Xms128m -Xmx512m")
            // It lives too short for code that is compiled well.
            .env("JAVA_OPTS_APPEND", "-XX:TieredStopAtLevel=1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let alive = child.stdin.take().unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = log.by_ref().map_while(Result::ok).find(|line| line.contains("Listening on: "));
        // Read on and on: a process whose log nobody reads stands still.
        std::thread::spawn(move || log.for_each(drop));
        if said.is_some() {
            return Keycloak { url: format!("http://127.0.0.1:{port}"), _child: child, _alive: alive, _folder: folder };
        }
        drop(alive);
        let _ = child.wait();
    }
    panic!("Keycloak does not start: tests/real/keycloak/.server/bin/kc.sh start --optimized");
}

/// A realm of a test's own.
pub(super) struct Realm {
    keycloak: &'static Keycloak,
    name: String,
}

impl Realm {
    pub(super) fn issuer(&self) -> String {
        format!("{}/realms/{}", self.keycloak.url, self.name)
    }

    pub(super) fn token_endpoint(&self) -> String {
        format!("{}/protocol/openid-connect/token", self.issuer())
    }

    /// Something that an administrator does in this realm.
    pub(super) async fn administer(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.keycloak.administer(method, &format!("/{}/{path}", self.name), body).await
    }

    /// Registers the client of `client.json` for a service at `origin`, with these mappers.
    pub(super) async fn register(&self, origin: &str, mappers: &[Value]) {
        let client = include_str!("client.json").replace("https://auth-api.example.com", origin);
        let mut client: Value = serde_json::from_str(&client).unwrap();
        // Java does not resolve names under localhost everywhere.
        let port = origin.rsplit(':').next().unwrap();
        client["attributes"]["backchannel.logout.url"] =
            json!(format!("http://127.0.0.1:{port}/auth/backchannel-logout"));
        client["protocolMappers"] = json!(mappers);
        self.administer(Method::POST, "clients", Some(client)).await;
    }

    /// A client that fetches tokens for itself, with an optional client scope.
    pub(super) async fn register_program(&self, id: &str, secret: &str, scope: &str) {
        let program =
            json!({ "clientId": id, "secret": secret, "serviceAccountsEnabled": true, "standardFlowEnabled": false });
        let client =
            self.administer(Method::POST, "clients", Some(program)).await.header("location").unwrap().to_owned();
        let scope = json!({ "name": scope, "protocol": "openid-connect" });
        let scope = self.administer(Method::POST, "client-scopes", Some(scope)).await;
        let scope = scope.header("location").unwrap().rsplit('/').next().unwrap().to_owned();
        let client = client.rsplit('/').next().unwrap();
        self.administer(Method::PUT, &format!("clients/{client}/optional-client-scopes/{scope}"), None).await;
    }

    /// The path of a user in the admin REST API.
    pub(super) async fn user(&self, name: &str) -> String {
        let found = self.administer(Method::GET, &format!("users?exact=true&username={name}"), None).await.json();
        format!("users/{}", found[0]["id"].as_str().unwrap())
    }
}

/// A mapper of a user's groups, or of realm roles, to `claim`.
pub(super) fn mapper(kind: &str, claim: &str, in_id_token: bool) -> Value {
    json!({
        "name": claim, "protocol": "openid-connect", "protocolMapper": kind,
        "config": {
            "claim.name": claim, "full.path": "false", "multivalued": "true", "jsonType.label": "String",
            "id.token.claim": in_id_token.to_string(), "userinfo.token.claim": "true", "access.token.claim": "true",
        },
    })
}
