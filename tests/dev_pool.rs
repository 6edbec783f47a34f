//! The dev user pool behaves like a Cognito user pool, seen from the network.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails; so do the steps it shares")]

mod administrators;
mod api;
mod hosted_ui;
mod in_process;
mod names;
mod new_passwords;
mod own_account;
pub(crate) mod second_factor;
mod sign_up;
mod token_trigger;
mod tokens;
mod without_a_browser;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth_api::dev::pool::{
    AppClient, CodePurpose, Fault, FederationFault, MfaConfiguration, PoolEndpoint, PoolSettings, Rotation, Signature,
    TriggerError, TriggerFunction, UnsignedJwt, UserPool,
};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use url::Url;

const SERVICE: &str = "http://127.0.0.1:8080";
const CALLBACK: &str = "http://127.0.0.1:8080/auth/signin/callback";
const SIGNED_OUT: &str = "http://127.0.0.1:8080/auth/signout/callback";
const VERIFIER: &str = "a-code-verifier-of-at-least-forty-three-characters-0123456789";

/// A pool and a browser that keeps cookies and follows nothing.
struct Visit {
    pool: UserPool,
    browser: reqwest::Client,
}

impl Visit {
    async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// With other settings than the default.
    async fn with(edit: impl FnOnce(&mut PoolSettings)) -> Self {
        let mut settings = PoolSettings::for_service(SERVICE);
        edit(&mut settings);
        let pool = UserPool::start(settings).await.unwrap();
        Self { pool, browser: browser() }
    }

    /// The sign-in page of a new authorization request.
    async fn login_page(&self) -> Url {
        self.redirected(self.authorize_url(&[("prompt", "login")])).await
    }

    /// The text of a page.
    async fn text(&self, page: &Url) -> String {
        self.browser.get(page.clone()).send().await.unwrap().text().await.unwrap()
    }

    /// Submits a form that leads on, and says where to.
    async fn follow(&self, page: &Url, fields: &[(&str, &str)]) -> Url {
        let answer = self.submit(page, fields).await;
        assert_eq!(answer.status(), 302, "{}", answer.text().await.unwrap());
        location(page, &answer)
    }

    /// Submits a form that does not lead on, and reads the page.
    async fn stay(&self, page: &Url, fields: &[(&str, &str)]) -> String {
        let answer = self.submit(page, fields).await;
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap()
    }

    /// The pool's time in epoch seconds.
    fn now(&self) -> i64 {
        let token = self.pool.mint_access_token("dev-web-client", "jane", &[]);
        part(&token, 1)["iat"].as_i64().unwrap()
    }

    fn authorize_url(&self, more: &[(&str, &str)]) -> Url {
        let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, VERIFIER.as_bytes()));
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", "dev-web-client"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid email profile"),
            ("state", "st-1"),
            ("nonce", "no-1"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        pairs.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        pairs.extend(more.iter().filter(|(_, value)| !value.is_empty()));
        Url::parse_with_params(&format!("{}/oauth2/authorize", self.pool.base_url()), pairs).unwrap()
    }

    /// Where a redirect leads, as an absolute URL.
    async fn redirected(&self, url: Url) -> Url {
        let answer = self.browser.get(url.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 302, "{}", answer.text().await.unwrap());
        location(&url, &answer)
    }

    async fn submit(&self, page: &Url, fields: &[(&str, &str)]) -> reqwest::Response {
        let html = self.browser.get(page.clone()).send().await.unwrap().text().await.unwrap();
        let csrf = between(&html, "name=\"_csrf\" value=\"", "\"");
        let mut fields = fields.to_vec();
        fields.push(("_csrf", csrf));
        self.browser.post(page.clone()).form(&fields).send().await.unwrap()
    }

    /// The callback URL after signing in on the login page.
    async fn sign_in(&self, more: &[(&str, &str)], username: &str) -> Url {
        let page = self.redirected(self.authorize_url(more)).await;
        assert_eq!(page.path(), "/login");
        let answer = self.submit(&page, &[("username", username), ("password", "Passw0rd!")]).await;
        assert_eq!(answer.status(), 302);
        location(&page, &answer)
    }

    async fn code(&self, username: &str) -> String {
        query(&self.sign_in(&[("prompt", "login")], username).await, "code").unwrap()
    }

    /// The callback URL after choosing an identity at a pretended provider.
    async fn federate(&self, provider: &str, identity: &str, more: &[(&str, &str)]) -> Url {
        let more: Vec<_> = more.iter().copied().chain([("identity_provider", provider), ("prompt", "login")]).collect();
        let page = self.redirected(self.authorize_url(&more)).await;
        let answer = self.submit(&page, &[("identity", identity)]).await;
        assert_eq!(answer.status(), 302);
        location(&page, &answer)
    }

    async fn token(&self, fields: &[(&str, &str)]) -> (u16, Value) {
        let url = format!("{}/oauth2/token", self.pool.base_url());
        let answer = self.browser.post(url).form(fields).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/json;charset=UTF-8");
        assert!(answer.headers().contains_key("x-amz-cognito-request-id"));
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn redeem(&self, code: &str) -> (u16, Value) {
        self.redeem_with(code, &[]).await
    }

    async fn redeem_with(&self, code: &str, other: &[(&str, &str)]) -> (u16, Value) {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("client_id", "dev-web-client"),
            ("client_secret", "dev-web-secret"),
            ("code_verifier", VERIFIER),
        ];
        fields.retain(|(name, _)| !other.iter().any(|(changed, _)| changed == name));
        fields.extend(other);
        self.token(&fields).await
    }

    async fn refresh(&self, refresh_token: &str) -> (u16, Value) {
        self.token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_id", "dev-web-client"),
            ("client_secret", "dev-web-secret"),
        ])
        .await
    }

    async fn machine(&self, scope: Option<&str>) -> (u16, Value) {
        let mut fields = vec![
            ("grant_type", "client_credentials"),
            ("client_id", "dev-machine-client"),
            ("client_secret", "dev-machine-secret"),
        ];
        fields.extend(scope.map(|scope| ("scope", scope)));
        self.token(&fields).await
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the browser, not the service")]
fn browser() -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .cookie_store(true)
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

/// Another page of the hosted UI, with the same query.
fn neighbour(page: &Url, path: &str) -> Url {
    let mut url = page.clone();
    url.set_path(path);
    url
}

/// Trigger source and user name of each event.
type Events = Arc<Mutex<Vec<(String, String)>>>;

/// A function that answers nothing, and the events it had.
fn recording() -> (TriggerFunction, Events) {
    let events = Events::default();
    let list = Arc::clone(&events);
    let function = TriggerFunction::new(move |event: Value| {
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        list.lock().unwrap().push((text("triggerSource"), text("userName")));
        async move { Ok::<_, TriggerError>(event) }
    });
    (function, events)
}

fn location(base: &Url, answer: &reqwest::Response) -> Url {
    base.join(answer.headers()["location"].to_str().unwrap()).unwrap()
}

fn query(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = &text[text.find(start).expect("the page has the field") + start.len()..];
    &rest[..rest.find(end).unwrap()]
}

fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn header(token: &Value) -> Value {
    part(token.as_str().unwrap(), 0)
}

fn claims(token: &Value) -> Value {
    part(token.as_str().unwrap(), 1)
}

fn keys_of(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn error(code: &str) -> Value {
    json!({ "error": code })
}
