//! Providers other than Cognito: what their tokens look like, what they leave out, what they want to be asked.

mod bearers;
mod claims;

use crate::support::{Answer, Browser, Log, Site, until};
use auth_api::dev::pool::{Fault, PoolEndpoint};
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

const OIDC: (&str, &str) = ("PROVIDER__PROFILE", "oidc");

/// A service that knows the dev pool as just any OpenID Provider.
async fn site(configuration: &[(&str, &str)]) -> Site {
    Site::with(&[&[OIDC], configuration].concat()).await
}

async fn refresh(site: &Site, browser: &Browser) -> Answer {
    browser.post(&site.auth("/refresh?force=true"), &[]).await
}

/// Lets discovery say `value` for `name`, and has it read.
async fn discovery_says(site: &Site, name: &'static str, value: Value) {
    site.pool.fault(PoolEndpoint::Discovery, Fault::edit_json(move |doc| drop(doc.insert(name.into(), value.clone()))));
    site.rp.provider.renew_metadata().await.unwrap();
}

/// What the session of a browser holds: access token, ID token, refresh token.
async fn tokens(site: &Site, browser: &Browser) -> [String; 3] {
    let tokens = site.tokens(browser).await;
    let refresh = tokens.refresh.as_ref().map(|refresh| refresh.expose_secret().to_owned());
    [tokens.access.expose_secret().to_owned(), tokens.id.expose_secret().to_owned(), refresh.unwrap_or_default()]
}

#[tokio::test]
async fn a_callback_names_its_issuer_where_the_provider_says_that_it_does() {
    let site = site(&[]).await;
    let issuer: String = url::form_urlencoded::byte_serialize(site.pool.issuer().as_bytes()).collect();
    let callback = async |iss: &str| {
        let browser = Browser::new();
        let url = browser.to_callback(&site, "", "jane").await;
        (browser.get(&format!("{url}{iss}")).await, browser)
    };
    let named = format!("&iss={issuer}");
    assert_eq!(callback("").await.0.status, 302, "it does not say so");
    assert_eq!(callback(&named).await.0.status, 302);
    for bad in ["&iss=", "&iss=https%3A%2F%2Fevil.test"] {
        assert_eq!(callback(bad).await.0.status, 400, "{bad}: said, and not ours");
    }
    discovery_says(&site, "authorization_response_iss_parameter_supported", json!(true)).await;
    for bad in ["", "&iss=", "&iss=https%3A%2F%2Fevil.test"] {
        let (page, browser) = callback(bad).await;
        assert_eq!(page.status, 400, "`{bad}`: {}", page.body);
        assert!(page.set_cookies("auth=").is_empty() && browser.validate(&site).await.status == 401, "`{bad}`");
    }
    assert_eq!(callback(&named).await.0.status, 302);
    let mut codes = site.pool.count(PoolEndpoint::TokenCode);
    let denied = Browser::new();
    let url = denied.to_callback(&site, "", "jane").await;
    let (head, _) = url.split_once("code=").unwrap();
    let state = crate::support::param(&url, "state").unwrap();
    let page = denied.get(&format!("{head}error=access_denied&state={state}")).await;
    assert_eq!(page.status, 400, "an error without it is nobody's word: {}", page.body);
    codes = site.pool.count(PoolEndpoint::TokenCode) - codes;
    assert_eq!(codes, 0, "no code was spent");
}

#[tokio::test]
async fn a_refresh_token_for_long_is_asked_for_with_consent_and_missed_aloud() {
    let site = site(&[
        ("PROVIDER__SCOPES", "openid,email,offline_access"),
        ("PROVIDER__AUTHORIZE_PARAMETERS", "access_type=offline,audience=https://api.example.com/a b"),
    ])
    .await;
    let prompt = async |query: &str| {
        let to = Browser::new().get(&site.auth(&format!("/auth/signin{query}"))).await.location();
        assert_eq!(crate::support::param(&to, "access_type").as_deref(), Some("offline"));
        assert_eq!(crate::support::param(&to, "audience").as_deref(), Some("https://api.example.com/a b"));
        let prompts = to.matches("prompt=").count();
        assert_eq!(prompts, 1, "{to}");
        crate::support::param(&to, "prompt").unwrap()
    };
    assert_eq!(prompt("").await, "consent");
    assert_eq!(prompt("?prompt=login").await, "login consent");
    assert_eq!(prompt("?prompt=consent").await, "consent");
    assert_eq!(prompt("?prompt=none").await, "none", "it stands alone (OIDC Core §3.1.2.1)");

    let plain = Site::with(&[OIDC]).await;
    let to = Browser::new().get(&plain.auth("/auth/signin")).await.location();
    assert!(!to.contains("prompt="), "{to}");
    let log = Log::capture();
    plain.pool.fault(PoolEndpoint::TokenCode, Fault::edit_json(|answer| drop(answer.remove("refresh_token"))));
    for _ in 0..3 {
        assert_eq!(Browser::new().sign_in(&plain, "jane").await.status, 302);
    }
    assert_eq!(log.text().matches("no refresh token").count(), 1, "said once: {}", log.text());
    assert!(log.text().contains("offline_access"));
}

#[tokio::test]
async fn the_operators_prompt_is_the_one_that_counts() {
    let site = site(&[("PROVIDER__AUTHORIZE_PARAMETERS", "prompt=login")]).await;
    for query in ["", "?prompt=none"] {
        let to = Browser::new().get(&site.auth(&format!("/auth/signin{query}"))).await.location();
        assert_eq!((to.matches("prompt=").count(), to.contains("prompt=login")), (1, true), "{to}");
    }
}

#[tokio::test]
async fn the_secret_goes_nowhere_in_a_way_that_the_provider_does_not_offer() {
    let site = site(&[]).await;
    discovery_says(&site, "token_endpoint_auth_methods_supported", json!(["private_key_jwt"])).await;
    let log = Log::capture();
    let waiting = Browser::new();
    let page = waiting.get(&site.auth("/auth/signin")).await;
    assert_eq!(page.status, 502, "nobody is sent to the provider in vain: {}", page.body);
    discovery_says(&site, "token_endpoint_auth_methods_supported", json!(["client_secret_post"])).await;
    let callback = waiting.to_callback(&site, "", "jane").await;
    discovery_says(&site, "token_endpoint_auth_methods_supported", json!(["private_key_jwt"])).await;
    let page = waiting.get(&callback).await;
    assert_eq!((page.status, site.pool.count(PoolEndpoint::TokenCode)), (502, 0), "{}", page.body);
    assert!(log.text().contains("private_key_jwt") && log.text().contains("client_secret_post"), "{}", log.text());
    for method in ["client_secret_post", "client_secret_basic"] {
        discovery_says(&site, "token_endpoint_auth_methods_supported", json!([method])).await;
        assert_eq!(Browser::new().sign_in(&site, "jane").await.status, 302, "{method}");
    }
}

#[tokio::test]
async fn a_refresh_token_that_is_dead_without_a_word_ends_the_session_in_the_end() {
    let site = site(&[]).await;
    let (jane, erin) = (Browser::new(), Browser::new());
    jane.sign_in(&site, "jane").await;
    erin.sign_in(&site, "erin").await;
    let bare = || Fault::Status { status: 400, content_type: "text/plain", body: String::new() };
    let ask = async |browser: &Browser, fault: Fault, status: u16, what: &str| {
        let asked = site.pool.count(PoolEndpoint::TokenRefresh);
        site.pool.fault(PoolEndpoint::TokenRefresh, fault);
        let mut last = 0;
        until(what, async || {
            last = refresh(&site, browser).await.status;
            site.pool.count(PoolEndpoint::TokenRefresh) > asked || last == 401
        })
        .await;
        assert_eq!(last, status, "{what}");
    };
    ask(&jane, bare(), 503, "the first").await;
    ask(&erin, bare(), 503, "the first of erin's").await;
    site.pass(1_900);
    ask(&jane, bare(), 503, "half an hour later").await;
    ask(&erin, Fault::Disconnect, 503, "for erin, the provider is away").await;
    assert_eq!(jane.validate(&site).await.status, 200);
    site.pass(1_900);
    ask(&erin, bare(), 503, "not steadily").await;
    assert_eq!(erin.validate(&site).await.status, 200);
    ask(&jane, bare(), 401, "steadily for an hour").await;
    assert_eq!(jane.validate(&site).await.status, 401);
    site.pool.clear_faults();
    until("erin's is renewed", async || refresh(&site, &erin).await.status == 200).await;
}

/// Both tokens of a sign-in and of each renewal, by the names that some providers give them: none.
#[tokio::test]
async fn tokens_without_names_end_with_their_session_all_of_them() {
    let site = site(&[]).await;
    let nameless = |d: &mut auth_api::dev::pool::UnsignedJwt| d.claims.retain(|n, _| n != "jti" && n != "origin_jti");
    site.pool.tamper_id_token(nameless);
    site.pool.tamper_access_token(move |draft| {
        nameless(draft);
        let client = draft.claims["client_id"].clone();
        draft.claims.insert("aud".into(), client);
        draft.header.insert("typ".into(), json!("at+jwt"));
        // Two of the same second would be the same.
        draft.claims.insert(
            "n".into(),
            json!(auth_api::domain::seal::sha256(format!("{:?}", std::time::Instant::now()).as_bytes())),
        );
    });
    let (jane, other) = (Browser::new(), Browser::new());
    jane.sign_in(&site, "jane").await;
    other.sign_in(&site, "jane").await;
    let mut hers = tokens(&site, &jane).await[..2].to_vec();
    for _ in 0..8 {
        site.pass(60);
        assert_eq!(refresh(&site, &jane).await.status, 200);
        hers.extend_from_slice(&tokens(&site, &jane).await[..2]);
    }
    let bearer =
        async |token: &str| Browser::new().send(Method::GET, &site.auth("/validate"), |r| r.bearer_auth(token)).await;
    for (at, token) in hers.iter().enumerate() {
        assert_eq!(bearer(token).await.status, 200, "{at}");
    }
    let others = tokens(&site, &other).await;
    assert_eq!(jane.post(&site.auth("/auth/signout"), &[]).await.status, 303);
    for (at, token) in hers.iter().enumerate() {
        assert_eq!(bearer(token).await.status, 401, "{at}");
    }
    for token in &others[..2] {
        assert_eq!(bearer(token).await.status, 200, "her other session's");
    }
}

/// A bearer that was never this service's, of the provider's session that the provider has ended.
#[tokio::test]
async fn a_back_channel_logout_counts_for_every_token_of_the_providers_session() {
    let site = site(&[("PROVIDER__ACCEPTED_CLIENTS", "dev-machine-client,another")]).await;
    let sid = |sid: &'static str| {
        move |d: &mut auth_api::dev::pool::UnsignedJwt| drop(d.claims.insert("sid".into(), json!(sid)))
    };
    site.pool.tamper_id_token(sid("one"));
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let mint = |name| {
        site.pool.tamper_id_token(sid(name));
        site.pool.mint_id_token("dev-web-client", "jane")
    };
    let (one, two) = (mint("one"), mint("two"));
    let bearer =
        async |token: &str| Browser::new().send(Method::GET, &site.auth("/validate"), |r| r.bearer_auth(token)).await;
    assert_eq!((bearer(&one).await.status, bearer(&two).await.status), (200, 200));
    let told = site.pool.mint_logout_token("dev-web-client", "jane", sid("one"));
    assert_eq!(
        Browser::new().post(&site.auth("/auth/backchannel-logout"), &[("logout_token", &told)]).await.status,
        200
    );
    assert_eq!((bearer(&one).await.status, bearer(&two).await.status), (401, 200));
}

#[tokio::test]
async fn a_sign_out_here_leaves_the_next_sign_ins_tokens_good() {
    let site = site(&[]).await;
    // The provider's own session goes on, and so does its name.
    site.pool.tamper_id_token(|d| drop(d.claims.insert("sid".into(), json!("one"))));
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let old = tokens(&site, &jane).await;
    assert_eq!(jane.post(&site.auth("/auth/signout"), &[]).await.status, 303);
    jane.sign_in(&site, "jane").await;
    let new = tokens(&site, &jane).await;
    let bearer =
        async |token: &str| Browser::new().send(Method::GET, &site.auth("/validate"), |r| r.bearer_auth(token)).await;
    assert_eq!((bearer(&old[1]).await.status, bearer(&new[1]).await.status), (401, 200));
}
