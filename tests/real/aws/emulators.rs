//! People and programs sign in through user pools that nobody here wrote.

use super::Emulator;
use crate::stack_command::write_secrets;
use crate::support::process::{Service, command, run, spawn_with, terminate};
use crate::support::{Answer, Browser, free_port, param};
use auth_api::domain::user::User;
use reqwest::Method;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Output, Stdio};
use tempfile::TempDir;

const ADDRESS: &str = "jane@example.com";
const PASSWORD: &str = "Correct-horse-9";
const LOOPBACK: &str = "http://localhost:8085";

/// The service as an operator sets it up: the stack, the configuration that is printed for it, the secrets.
///
/// MiniStack's discovery cannot be used: it is AWS's issuer, whose addresses are this machine's. So each address is
/// told. It has none for /oauth2/revoke.
struct Deployment {
    ministack: Emulator,
    service: Service,
    url: String,
    client: Value,
    folder: TempDir,
    /// The configuration in the environment.
    env: Vec<(String, String)>,
}

impl Deployment {
    async fn start() -> Self {
        let ministack = Emulator::ministack().await;
        let (folder, port, ops) = (tempfile::tempdir().unwrap(), free_port(), free_port());
        let url = format!("http://localhost:{port}");
        let parameters = json!({ "PublicUrl": url, "DomainPrefix": "people", "ManagedLoginVersion": "1", "LoopbackOrigin": LOOPBACK });
        let told = json!({ "parameters": parameters, "user": { "email": ADDRESS, "password": PASSWORD } });
        let made = ministack.stack("aws/pool.yaml", told).await;

        let mut printing = command(folder.path());
        let printing = printing.args(["config", "from-stack", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut printing = printing.spawn().unwrap();
        printing.stdin.take().unwrap().write_all(made["described"].to_string().as_bytes()).unwrap();
        let configuration = good(printing.wait_with_output().unwrap());
        let secret = |client: &str| made[client]["ClientSecret"].as_str().unwrap().to_owned();
        write_secrets(folder.path(), &secret("WebClientId"), &secret("MachineClientId"));
        // The comment in the configuration says how, but for the names.
        let new = ["client", "new", "--id", "nightly", "--owner", "x", "--scope", "api/read", "--upstream", "machines"];
        let registered = good(run(folder.path(), &new));
        let block = &registered[registered.find("[[machine.client]]").unwrap()..];
        let whole = format!("{configuration}\n{block}");
        std::fs::write(folder.path().join("auth-api.toml"), whole).unwrap();
        assert_eq!(good(run(folder.path(), &["check"])), "the configuration is good\n");

        let at = |path: &str| format!("{}{path}", ministack.url);
        let keys = format!("/{}/.well-known/jwks.json", made["pool"]["Id"].as_str().unwrap());
        let env = [
            ("SERVER__LISTEN", format!("127.0.0.1:{port}")),
            ("SERVER__OPS_LISTEN", format!("127.0.0.1:{ops}")),
            ("PROVIDER__AUTHORIZATION_ENDPOINT", at("/oauth2/authorize")),
            ("PROVIDER__TOKEN_ENDPOINT", at("/oauth2/token")),
            ("PROVIDER__USERINFO_ENDPOINT", at("/oauth2/userInfo")),
            ("PROVIDER__END_SESSION_ENDPOINT", at("/logout")),
            ("PROVIDER__JWKS_URI", at(&keys)),
            ("PROVIDER__USER_POOLS_ENDPOINT", at("/")),
            ("AWS__ENDPOINT", at("/")),
            ("ACCOUNT__WRITABLE", "name".to_owned()),
        ];
        let env = env.map(|(key, value)| (format!("AUTH_API__{key}"), value)).to_vec();
        let service = spawn_with(folder.path(), port, ops, env.clone()).expect("the service starts");
        let secret = registered.lines().find_map(|line| line.strip_prefix("client_secret  ")).unwrap();
        let client = json!({ "secret": secret, "web": made["WebClientId"]["ClientId"], "stack": made });
        Self { ministack, service, url, client, folder, env }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// From `/auth/signin` through MiniStack's form, up to the address of our callback.
    async fn to_callback(&self, browser: &Browser, password: &str) -> Answer {
        let authorize = browser.get(&self.at("/auth/signin")).await.location();
        assert!(authorize.starts_with(&format!("{}/oauth2/authorize?", self.ministack.url)), "{authorize}");
        let page = browser.get(&authorize).await;
        assert_eq!(page.status, 200, "{page:?}");
        let mut form: Vec<(String, String)> = page.body.split("type=\"hidden\" name=\"").skip(1).map(field).collect();
        form.push(("username".to_owned(), ADDRESS.to_owned()));
        form.push(("password".to_owned(), password.to_owned()));
        let form: Vec<_> = form.iter().map(|(name, value)| (&**name, &**value)).collect();
        browser.post(&format!("{}/login", self.ministack.url), &form).await
    }

    async fn signed_in(&self) -> Browser {
        let browser = Browser::new();
        let callback = self.to_callback(&browser, PASSWORD).await.location();
        assert!(callback.starts_with(&self.at("/auth/signin/callback?code=")), "{callback}");
        let landed = browser.get(&callback).await;
        assert_eq!(landed.status, 302, "{landed:?}");
        browser
    }
}

fn good(output: Output) -> String {
    assert!(output.status.success(), "{}", super::said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// A hidden field: `name" value="…`.
fn field(text: &str) -> (String, String) {
    let (name, rest) = text.split_once("\" value=\"").unwrap();
    let value = rest.split('"').next().unwrap().replace("&amp;", "&").replace("&#x27;", "'").replace("&quot;", "\"");
    (name.to_owned(), value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs MiniStack"]
async fn people_and_programs_use_the_pool_of_the_template() {
    let mut site = Deployment::start().await;
    let wrong = site.to_callback(&Browser::new(), "wrong").await;
    assert_eq!(wrong.status, 200, "a wrong password stays at the form: {wrong:?}");

    let jane = site.signed_in().await;
    let known = jane.get(&site.at("/validate")).await.json();
    assert_eq!((&known["email"], &known["email_verified"]), (&json!(ADDRESS), &json!(true)), "{known}");
    assert_eq!((&known["groups"], &known["name"]), (&json!(["editors"]), &json!("Jane Doe")));
    assert_eq!(known["attributes"]["custom:legacy_id"], "42");
    assert_eq!((&known["client_id"], &known["kind"]), (&site.client["web"], &json!("user")));

    // MiniStack's answer has no refresh token, since it knows nothing of rotation: the old one stays. And it has no
    // groups, which a real pool's answer has.
    let renewed = jane.post(&site.at("/refresh?force=true"), &[]).await;
    assert_eq!((renewed.status, &renewed.json()["sub"]), (200, &known["sub"]), "{renewed:?}");

    let profile = jane.get(&site.at("/auth/profile")).await;
    assert_eq!(profile.status, 200, "{profile:?}");
    assert_eq!(profile.json()["attributes"]["email"], ADDRESS);
    let change =
        |r: reqwest::RequestBuilder| r.header("content-type", "application/json").body(r#"{"name":"Jane Roe"}"#);
    let changed = jane.send(Method::PATCH, &site.at("/auth/profile"), change).await;
    assert_eq!((changed.status, &changed.json()["attributes"]["name"]), (200, &json!("Jane Roe")), "{changed:?}");

    let credentials = jane.post(&site.at("/auth/aws-credentials"), &[]).await;
    assert_eq!(credentials.status, 200, "{credentials:?}");
    let pool = site.client["stack"]["resources"]["IdentityPool"].as_str().unwrap();
    for name in ["identity_id", "access_key_id", "secret_access_key", "session_token"] {
        assert_ne!(credentials.json()[name].as_str().unwrap(), "", "{name}");
    }
    assert_ne!(credentials.json()["identity_id"], pool, "an identity of the pool, not the pool");
    assert_eq!(Browser::new().post(&site.at("/auth/aws-credentials"), &[]).await.status, 401);

    let secret = site.client["secret"].as_str().unwrap();
    let form = [("grant_type", "client_credentials"), ("client_id", "nightly"), ("client_secret", secret)];
    let token = Browser::new().post(&site.at("/token"), &form).await;
    assert_eq!((token.status, &token.json()["scope"]), (200, &json!("api/read")), "{token:?}");
    let bearer = token.json()["access_token"].as_str().unwrap().to_owned();
    let ask = async |scope: &str| {
        let url = site.at(&format!("/validate?scope={scope}"));
        Browser::new().send(Method::GET, &url, |request| request.bearer_auth(&bearer)).await
    };
    assert_eq!(ask("api/read").await.json()["kind"], "machine");
    assert_eq!(ask("api/write").await.status, 403);

    // Ended by an administrator: MiniStack refuses the renewal, and so the session is over. In a session of its own,
    // since who asks twice within five seconds gets the same answer.
    let ended = site.signed_in().await;
    let pool = &site.client["stack"]["pool"]["Id"];
    let input = json!({ "UserPoolId": pool, "Username": ADDRESS });
    site.ministack.as_administrator("AdminUserGlobalSignOut", &input).await;
    let over = ended.post(&site.at("/refresh?force=true"), &[]).await;
    assert_eq!(over.status, 401, "{over:?}");
    assert_eq!(ended.get(&site.at("/validate")).await.status, 401);

    let jane = site.signed_in().await;
    let logout = jane.post(&site.at("/auth/signout"), &[]).await.location();
    assert_eq!(param(&logout, "logout_uri"), Some(site.at("/auth/signout/callback")), "{logout}");
    let back = jane.get(&logout).await.location();
    assert!(back.starts_with(&site.at("/auth/signout/callback")), "{back}");
    assert_eq!(jane.get(&site.at("/validate")).await.status, 401);

    terminate(&site.service.child);
    let log = site.service.log();
    assert!(!log.contains("\"level\":\"ERROR\"") && !log.contains(" ERROR "), "{log}");
}

/// MiniStack keeps no session, revokes nothing and knows nothing of rotation: the run says so, and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs MiniStack"]
async fn an_acceptance_run_says_where_ministack_differs() {
    let site = Deployment::start().await;
    let mut asking = command(site.folder.path());
    asking.args(["check", "--sign-in", "--json", "--user", ADDRESS]).envs(site.env.clone());
    asking.env("AUTH_API_CHECK_PASSWORD", PASSWORD);
    let output = tokio::task::spawn_blocking(move || asking.output().unwrap()).await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", super::said(&output)));
    let answers = report["answers"].as_array().unwrap();
    let verdict = |id: &str| {
        let answer = answers.iter().find(|answer| answer["id"] == id).unwrap();
        (answer["verdict"].as_str().unwrap(), answer["answer"].as_str().unwrap())
    };
    for (id, expected) in [
        ("authorize.redirect_uri", ("as-expected", "400 invalid_request")),
        ("authorize.scope", ("as-expected", "invalid_request at the callback, with state")),
        ("prompt.none.signed_out", ("differs", "the sign-in page")),
        ("sign_in.tokens", ("as-expected", "yes")),
        ("sign_in.claims", ("as-expected", "nonce, auth_time, jti, origin_jti; not at_hash, event_id")),
        ("sign_in.again", ("differs", "the pool shows its page again")),
        ("code.client_secret", ("as-expected", "400 invalid_client; the code is not spent")),
        ("code.pkce", ("as-expected", "400 invalid_grant; the code is not spent")),
        ("refresh.tokens", ("as-expected", "yes")),
        ("refresh.reuse", ("not-asked", "rotation is off")),
        ("revoke.refresh", ("not-asked", "the provider has no revocation endpoint")),
        ("get_user", ("as-expected", "yes")),
        ("identity_pool.login", ("as-expected", "yes")),
        ("machine.scope.mixed", ("as-expected", "a token without it")),
    ] {
        assert_eq!(verdict(id), expected, "{id}");
    }
    for id in ["prompt.login", "logout.form", "logout.session"] {
        assert_eq!(verdict(id).0, "not-asked", "{id}");
    }
    assert_eq!(output.status.code(), Some(0), "{report:#}");
}

/// The administrators' answers, whose shapes differ.
#[tokio::test]
#[ignore = "needs moto"]
async fn users_are_read_from_what_moto_answers_administrators() {
    let moto = Emulator::moto().await;
    let made = moto.as_administrator("CreateUserPool", &json!({ "PoolName": "people" })).await;
    let pool = &made["UserPool"]["Id"];
    let attributes = json!([
        { "Name": "email", "Value": ADDRESS }, { "Name": "email_verified", "Value": "true" },
        { "Name": "custom:legacy_id", "Value": "42" },
    ]);
    let input = json!({ "UserPoolId": pool, "Username": "jane", "UserAttributes": attributes });
    let created = User::from_api(&moto.as_administrator("AdminCreateUser", &input).await).unwrap();
    let input = json!({ "UserPoolId": pool, "Username": "jane" });
    let got = User::from_api(&moto.as_administrator("AdminGetUser", &input).await).unwrap();
    let input = json!({ "UserPoolId": pool, "Filter": format!("email = \"{ADDRESS}\"") });
    let listed = moto.as_administrator("ListUsers", &input).await;
    let listed: Vec<_> = listed["Users"].as_array().unwrap().iter().map(User::from_api).collect();
    assert_eq!(listed, [Ok(got.clone())]);
    assert_eq!(created, got);
    assert_eq!(
        (&*got.username, got.verified_email(), got.attribute("custom:legacy_id")),
        ("jane", Some(ADDRESS), Some("42"))
    );
    assert_eq!((got.status.as_deref(), got.enabled), (Some("FORCE_CHANGE_PASSWORD"), Some(true)));
    assert!(
        got.sub.is_some() && got.identities.is_empty() && got.provider() == auth_api::domain::user::NATIVE,
        "{got:?}"
    );
}
