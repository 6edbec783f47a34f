//! What the tests with other providers do at the service.

use super::guides::PROGRAM_SECRET;
use crate::support::{Answer, Browser, Site};
use reqwest::Method;
use secrecy::ExposeSecret;

/// What a browser's session holds.
pub(super) struct Tokens {
    pub(super) access: String,
    pub(super) id: String,
    pub(super) refresh: String,
}

pub(super) async fn tokens(site: &Site, browser: &Browser) -> Tokens {
    let tokens = site.tokens(browser).await;
    let [access, id, refresh] =
        [&tokens.access, &tokens.id, tokens.refresh.as_ref().unwrap()].map(|token| token.expose_secret().to_owned());
    Tokens { access, id, refresh }
}

pub(super) async fn renew(site: &Site, browser: &Browser) -> Answer {
    site.clock.shift(6); // what was renewed a moment ago is not renewed again
    browser.post(&site.auth("/refresh?force=true"), &[]).await
}

/// The provider has ended the session, which is learned at its next renewal.
pub(super) async fn ends_at_its_renewal(site: &Site, browser: &Browser) {
    let answer = renew(site, browser).await;
    assert_eq!((answer.status, answer.problem().as_str()), (401, "session-ended"), "{answer:?}");
    assert_eq!(browser.validate(site).await.status, 401);
}

/// What `/validate` says to a bearer token.
pub(super) async fn bearer(site: &Site, token: &str) -> Answer {
    Browser::new().send(Method::GET, &site.auth("/validate"), |request| request.bearer_auth(token)).await
}

/// Something that the program of the guides asks us.
pub(super) async fn program(site: &Site, path: &str, form: &[(&str, &str)]) -> Answer {
    let shape = |r: reqwest::RequestBuilder| r.basic_auth("nightly-report", Some(PROGRAM_SECRET)).form(form);
    Browser::new().send(Method::POST, &site.auth(path), shape).await
}

/// Fetches a token as the program of the guides, and takes it through everything that can be done with it here. What
/// was granted has to be `scope`.
pub(super) async fn a_programs_token_is_known_until_it_is_revoked(site: &Site, scope: &str) {
    let own = [("grant_type", "client_credentials")];
    let granted = program(site, "/token", &own).await;
    assert_eq!((granted.status, granted.json()["scope"].as_str()), (200, Some(scope)), "{granted:?}");
    let token = granted.json()["access_token"].as_str().unwrap().to_owned();
    let again = program(site, "/token", &[own[0], ("scope", "reports.read")]).await.json();
    assert_eq!(again["access_token"], token.as_str(), "fetched once");

    let known = bearer(site, &token).await;
    assert_eq!((known.status, known.header("x-auth-kind")), (200, Some("machine")), "{known:?}");
    assert_eq!(known.header("x-auth-client-id"), Some("nightly-report"));
    let told = program(site, "/introspect", &[("token", &token)]).await.json();
    assert_eq!(
        (told["active"].as_bool(), told["client_id"].as_str()),
        (Some(true), Some("nightly-report")),
        "{told:#}"
    );

    assert_eq!(program(site, "/revoke", &[("token", &token)]).await.status, 200);
    let told = program(site, "/introspect", &[("token", &token)]).await.json();
    assert_eq!(told, serde_json::json!({ "active": false }));
    assert_eq!(bearer(site, &token).await.status, 401);
    let another = program(site, "/token", &own).await.json();
    assert!(
        another["access_token"].is_string() && another["access_token"] != token.as_str(),
        "nobody gets it: {another:#}"
    );
}
