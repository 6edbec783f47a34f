//! The OpenID Provider: codes and refresh tokens count once, and it notes who spent which.

use super::World;
use super::draw;
use super::faults::{self, Deed};
use super::world::{BASE, Disturbance};
use crate::provider::{Error, InProcess};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{Request, Response};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use url::Url;

pub(super) const ISSUER: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Simulated";
pub(super) const CLIENT: &str = "web-client";
/// `provider.timeout`.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);
/// Life of access and ID tokens, seconds.
const LIFE: u64 = 45;

/// A start of a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    pub(super) process: usize,
    pub(super) start: u64,
    pub(super) began: Instant,
}

impl Asker {
    /// Whether it may not know yet of a loss before its start. It may have crashed since it asked.
    fn is_new(&self) -> bool {
        self.began.elapsed() < Duration::from_secs(5)
    }
}

/// Who spent it, and when.
type Spent = Option<(Asker, Instant)>;

#[derive(Debug)]
struct Code {
    user: String,
    sign_in: String,
    nonce: String,
    challenge: String,
    spent: Spent,
}

#[derive(Debug)]
struct Grant {
    user: String,
    sign_in: String,
    spent: Spent,
}

/// What the provider remembers.
#[derive(Debug, Default)]
pub(super) struct Provider {
    codes: BTreeMap<String, Code>,
    grants: BTreeMap<String, Grant>,
    /// The newest access token of each sign-in, and its end in epoch seconds.
    access: BTreeMap<String, (String, u64)>,
    revoked: BTreeSet<String>,
}

impl Provider {
    /// A user signs in at the authorize endpoint: where the browser is sent, and the name of the sign-in in its tokens.
    pub(super) fn authorize(&mut self, address: &Url, user: &str) -> (String, String) {
        let ask: BTreeMap<_, _> = address.query_pairs().into_owned().collect();
        let (code, sign_in) = (draw::text(), draw::text());
        let callback = format!("{}?code={code}&state={}", ask["redirect_uri"], ask["state"]);
        let (nonce, challenge) = (ask["nonce"].clone(), ask["code_challenge"].clone());
        self.codes.insert(code, Code { user: user.into(), sign_in: sign_in.clone(), nonce, challenge, spent: None });
        (callback, sign_in)
    }

    /// The newest access token of a sign-in, if it is good at `now`.
    pub(super) fn access_token(&self, sign_in: &str, now: u64) -> Option<String> {
        self.access.get(sign_in).filter(|(_, ends)| now < *ends).map(|(token, _)| token.clone())
    }

    /// Whether it refuses to renew a sign-in, whoever asks.
    pub(super) fn has_revoked(&self, sign_in: &str) -> bool {
        self.revoked.contains(sign_in)
    }

    fn answer(&mut self, world: &World, asker: Asker, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let base = "https://auth.example.com/oauth2";
        let (status, body) = match request.uri().path() {
            path if path.ends_with("/openid-configuration") => (
                200,
                json!({
                    "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/.well-known/jwks.json"),
                    "authorization_endpoint": format!("{base}/authorize"), "token_endpoint": format!("{base}/token"),
                    "revocation_endpoint": format!("{base}/revoke"), "response_types_supported": ["code"],
                    "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
                }),
            ),
            path if path.ends_with("/jwks.json") => (200, json!({ "keys": [jwk()] })),
            path => {
                let form: BTreeMap<_, _> = url::form_urlencoded::parse(request.body()).into_owned().collect();
                let granted = match (path, form.get("grant_type").map(String::as_str)) {
                    ("/oauth2/token", Some("authorization_code")) => self.redeem(world, asker, &form),
                    ("/oauth2/token", Some("refresh_token")) => self.renew(world, asker, &form["refresh_token"]),
                    ("/oauth2/revoke", _) => {
                        if let Some(grant) = self.grants.get(&form["token"]) {
                            self.revoked.insert(grant.sign_in.clone());
                        }
                        Some(json!({}))
                    }
                    other => panic!("the simulated provider is not asked for {other:?}"),
                };
                granted.map_or_else(|| (400, json!({ "error": "invalid_grant" })), |body| (200, body))
            }
        };
        let response = Response::builder().status(status).header("content-type", "application/json");
        response.body(body.to_string().into_bytes()).expect("the parts are good")
    }

    fn redeem(&mut self, world: &World, asker: Asker, form: &BTreeMap<String, String>) -> Option<Value> {
        let code = self.codes.get_mut(&form["code"])?;
        if let Some((first, at)) = code.spent.replace((asker, Instant::now())) {
            // The claim was lost with the data, and who made it is gone, or who claims again has just started.
            let unknown = !world.is_alive(first.process, first.start) || asker.is_new();
            // The first request may have been under way for as long as who sent it waits.
            if !unknown || !world.was(Disturbance::Loss, at - TIMEOUT) {
                world.violation(format_args!("a code was spent twice, by p{} and p{}", first.process, asker.process));
            }
            world.stats().codes_spent_twice += 1;
            self.revoked.insert(code.sign_in.clone());
            return None;
        }
        let verified = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, form["code_verifier"].as_bytes()));
        assert_eq!(verified, code.challenge, "RFC 7636 §4.6");
        world.stats().exchanges += 1;
        let (user, sign_in, nonce) = (code.user.clone(), code.sign_in.clone(), code.nonce.clone());
        Some(self.issue(world.epoch_seconds(), &user, &sign_in, Some(&nonce)))
    }

    fn renew(&mut self, world: &World, asker: Asker, refresh: &str) -> Option<Value> {
        let grant = self.grants.get_mut(refresh)?;
        if let Some((first, at)) = grant.spent.replace((asker, Instant::now())) {
            // After a fault nobody may know whether it was spent.
            if world.was_calm_since(at) {
                world.violation(format_args!(
                    "a refresh token was spent twice, by p{} and p{}",
                    first.process, asker.process
                ));
            }
            world.stats().refresh_tokens_spent_twice += 1;
            return None;
        }
        if self.revoked.contains(&grant.sign_in) {
            return None;
        }
        world.stats().renewals += 1;
        let (user, sign_in) = (grant.user.clone(), grant.sign_in.clone());
        Some(self.issue(world.epoch_seconds(), &user, &sign_in, None))
    }

    fn issue(&mut self, now: u64, user: &str, sign_in: &str, nonce: Option<&str>) -> Value {
        let common = json!({
            "iss": ISSUER, "sub": user, "iat": now, "exp": now + LIFE, "auth_time": now, "origin_jti": sign_in,
        });
        let token = |own: Value| {
            let mut claims = common.clone();
            claims.as_object_mut().expect("it is one").extend(own.as_object().expect("it is one").clone());
            sign(&claims)
        };
        let access = token(json!({
            "token_use": "access", "client_id": CLIENT, "scope": "openid", "username": user, "jti": draw::text(),
        }));
        let mut id = json!({
            "token_use": "id", "aud": CLIENT, "cognito:username": user, "jti": draw::text(), "name": user,
            "email": format!("{user}@example.com"), "email_verified": true,
        });
        if let Some(nonce) = nonce {
            id["nonce"] = nonce.into();
        }
        let refresh = draw::text();
        let grant = Grant { user: user.to_owned(), sign_in: sign_in.to_owned(), spent: None };
        self.grants.insert(refresh.clone(), grant);
        self.access.insert(sign_in.to_owned(), (access.clone(), now + LIFE));
        json!({
            "access_token": access, "id_token": token(id), "refresh_token": refresh, "token_type": "Bearer",
            "expires_in": LIFE,
        })
    }
}

/// A process's way to the provider.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) world: Arc<World>,
    pub(super) asker: Asker,
}

#[async_trait::async_trait]
impl InProcess for Line {
    async fn answer(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, Error> {
        let unavailable = |detail: &str, untouched| Error::Unavailable {
            detail: detail.into(),
            retry_after: None,
            untouched,
            throttled: false,
        };
        self.world.only_alive(self.asker.process, self.asker.start).await;
        let (path, away) = {
            let mut weather = self.world.weather();
            (weather.path_to_provider(), weather.is_provider_away())
        };
        if away && path.resets {
            return Err(unavailable("connection refused", true));
        }
        let deadline = Instant::now() + TIMEOUT;
        let (tell, told) = oneshot::channel();
        let (world, asker) = (self.world.clone(), self.asker);
        tokio::spawn(async move {
            sleep(path.there).await;
            if !away && !path.loses_request {
                if request.body().starts_with(b"grant_type=refresh_token") {
                    faults::follow(&world, Deed::Renew, asker.process);
                }
                let answer = world.provider().answer(&world, asker, &request);
                sleep(path.back).await;
                if !path.loses_answer {
                    let _ = tell.send(answer);
                    return;
                }
            }
            sleep_until(deadline).await;
        });
        let answered = timeout_at(deadline, told).await;
        self.world.only_alive(self.asker.process, self.asker.start).await;
        answered.ok().and_then(Result::ok).ok_or_else(|| unavailable("no answer in time", false))
    }
}

/// Making RSA keys is slow: all runs share one.
fn key() -> &'static KeyPair {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    KEY.get_or_init(|| KeyPair::generate(KeySize::Rsa2048).expect("an RSA key can be made"))
}

fn jwk() -> Value {
    // RSAPublicKey in DER (RFC 8017 A.1.1): two headers, a zero, and the 256 bytes of the modulus.
    let modulus = &key().public_key().as_ref()[9..265];
    json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1", "e": "AQAB", "n": BASE64_URL_SAFE_NO_PAD.encode(modulus) })
}

fn sign(claims: &Value) -> String {
    let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"1"}"#);
    let message = format!("{header}.{}", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut signature = [0; 256];
    key().sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).expect("a key can sign");
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

/// The provider's clock and everybody's.
pub(super) fn seconds(since: Duration) -> u64 {
    BASE + since.as_secs()
}
