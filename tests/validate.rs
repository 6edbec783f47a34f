//! Who is this? What siblings and proxies are told.

use crate::support::{Answer, Browser, Log, Site, until};
use auth_api::dev::pool::{Fault, PoolEndpoint, Signature, UnsignedJwt};
use reqwest::Method;
use serde_json::json;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const IDENTITY: [&str; 9] = [
    "x-auth-subject",
    "x-auth-username",
    "x-auth-email",
    "x-auth-groups",
    "x-auth-scopes",
    "x-auth-client-id",
    "x-auth-kind",
    "x-auth-provider",
    "x-auth-expires",
];

async fn bearer(site: &Site, query: &str, token: &str) -> Answer {
    let url = site.auth(&format!("/validate{query}"));
    Browser::new().send(Method::GET, &url, |request| request.bearer_auth(token)).await
}

#[tokio::test]
async fn without_credentials_it_is_401_and_never_a_redirect() {
    let site = Site::start().await;
    for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE]
    {
        let shape = |r: reqwest::RequestBuilder| r.header("accept", "text/html").header("sec-fetch-mode", "navigate");
        let answer = Browser::new().send(method.clone(), &site.auth("/validate"), shape).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{method}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        if method != Method::HEAD {
            assert_eq!(answer.problem(), "not-signed-in");
            assert_eq!(answer.json()["instance"].as_str().unwrap().len(), 16);
        }
    }
}

#[tokio::test]
async fn a_head_is_answered_with_the_headers_of_a_get() {
    let site = Site::with(&[("SERVER__TRUSTED_PROXIES", "127.0.0.1/32")]).await;
    let (jane, stranger) = (Browser::new(), Browser::new());
    jane.sign_in(&site, "jane").await;
    site.pass(301);
    let page = site.cms("/a?b=c");
    let proxy = |r: reqwest::RequestBuilder| r.header("x-original-url", &page).header("x-original-method", "PUT");
    let navigation = |r| proxy(r).header("accept", "text/html");
    let mut statuses = Vec::new();
    for browser in [&jane, &stranger] {
        for path in ["", "?group=nobody", "?max_age=300", "?group", "/browser", "/browser?group=nobody"] {
            let url = site.auth(&format!("/validate{path}"));
            let (get, head) =
                (browser.send(Method::GET, &url, navigation).await, browser.send(Method::HEAD, &url, navigation).await);
            let comparable = |answer: &Answer| {
                let mut headers = answer.headers.clone();
                for name in ["date", "x-request-id"] {
                    headers.remove(name);
                }
                (answer.status, headers)
            };
            assert_eq!(comparable(&get), comparable(&head), "{path}");
            assert_eq!(head.body, "", "{path}");
            statuses.push(head.status);
        }
    }
    assert_eq!(statuses, [200, 403, 401, 400, 200, 403, 401, 401, 401, 400, 302, 302]);
}

#[tokio::test]
async fn every_identity_header_is_in_every_200_and_the_clients_own_are_not_believed() {
    let site = Site::start().await;
    let machine = site.pool.mint_machine_token("dev-web-client", &["https://api.example.com/orders.read"]);
    let jane = Browser::new();
    jane.sign_in(&site, "fay").await;
    let forged = |r: reqwest::RequestBuilder| {
        let r = r.header("x-auth-groups", "admins").header("x_auth_groups", "admins").header("x-auth.email", "a@b");
        r.header("x-auth-username", "root").header("connection", "x-auth-subject")
    };
    let session = jane.send(Method::GET, &site.auth("/validate"), forged).await;
    let token = Browser::new().send(Method::GET, &site.auth("/validate"), |r| forged(r).bearer_auth(&machine)).await;
    for answer in [&session, &token] {
        assert_eq!(answer.status, 200);
        for name in IDENTITY {
            assert_eq!(answer.headers.get_all(name).iter().count(), 1, "{name}");
        }
        assert!(answer.header("x-auth-username") != Some("root") && answer.header("x-auth-groups") == Some(""));
        assert_eq!(answer.json()["active"], true);
    }
    assert_eq!(session.header("x-auth-email"), Some(""), "Facebook gave none");
}

#[tokio::test]
async fn access_tokens_of_users_and_machines_are_known_by_their_client() {
    let site = Site::with(&[("PROVIDER__ACCEPTED_CLIENTS", "dev-machine-client")]).await;
    let user = site.pool.mint_access_token("dev-web-client", "erin", &["openid", "email"]);
    let answer = bearer(&site, "?group=editors&scope=email", &user).await;
    let json = answer.json();
    assert_eq!((answer.status, &json["kind"], &json["username"]), (200, &json!("user"), &json!("erin")));
    assert_eq!((&json["email"], &json["session_expires_at"]), (&json!(null), &json!(null)));
    let machine = site.pool.mint_machine_token("dev-machine-client", &["https://api.example.com/orders.read"]);
    let answer = bearer(&site, "?scope=https://api.example.com/orders.read", &machine).await;
    assert_eq!((answer.status, answer.header("x-auth-kind")), (200, Some("machine")));
    assert_eq!(answer.header("x-auth-client-id"), Some("dev-machine-client"));
    assert_eq!(answer.header("x-auth-scopes"), Some("https://api.example.com/orders.read"));

    let stranger = site.pool.mint_access_token("some-other-client", "erin", &["openid"]);
    let refused = bearer(&site, "", &stranger).await;
    assert_eq!((refused.status, refused.problem().as_str()), (401, "credentials-not-valid"));
    assert_eq!(refused.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
}

#[tokio::test]
async fn id_tokens_count_for_our_client_only() {
    let site = Site::with(&[("PROVIDER__ACCEPTED_CLIENTS", "dev-machine-client")]).await;
    let ours = bearer(&site, "", &site.pool.mint_id_token("dev-web-client", "jane")).await;
    assert_eq!((ours.status, ours.header("x-auth-email")), (200, Some("jane@example.com")));
    // Accepted for access tokens, which say client_id; an ID token is meant for its aud.
    let other = bearer(&site, "", &site.pool.mint_id_token("dev-machine-client", "jane")).await;
    assert_eq!(other.status, 401);
}

#[tokio::test]
async fn a_token_is_one_kind_or_the_other_never_either() {
    let site = Site::start().await;
    type Tamper = fn(&mut UnsignedJwt);
    let cases: &[(&str, Tamper)] = &[
        ("an access token called id", |d| drop(d.claims.insert("token_use".into(), json!("id")))),
        ("no use at all", |d| drop(d.claims.remove("token_use"))),
        ("another use", |d| drop(d.claims.insert("token_use".into(), json!("Access")))),
        ("both uses", |d| drop(d.claims.insert("token_use".into(), json!(["access", "id"])))),
        ("an access token with our aud, but of another client", |d| {
            d.claims.insert("client_id".into(), json!("other"));
            d.claims.insert("aud".into(), json!("dev-web-client"));
        }),
        ("no client_id", |d| drop(d.claims.remove("client_id"))),
        ("expired", |d| drop(d.claims.insert("exp".into(), json!(1_000)))),
        ("expiry as text", |d| drop(d.claims.insert("exp".into(), json!("9999999999")))),
        ("no expiry", |d| drop(d.claims.remove("exp"))),
        ("nbf as text", |d| drop(d.claims.insert("nbf".into(), json!("0")))),
        ("nbf ahead", |d| drop(d.claims.insert("nbf".into(), json!(9_999_999_999u64)))),
        ("iat ahead", |d| drop(d.claims.insert("iat".into(), json!(9_999_999_999u64)))),
        ("another issuer", |d| drop(d.claims.insert("iss".into(), json!("https://evil.test")))),
        ("another key", |d| d.signature = Signature::OtherKey),
        ("no signature", |d| d.signature = Signature::None),
        ("HMAC with the public key", |d| d.signature = Signature::HmacWithPublicKey),
        ("five parts", |d| d.signature = Signature::Replace("a.b.c.d.e".into())),
    ];
    for (case, tamper) in cases {
        site.pool.tamper_access_token(tamper);
        let token = site.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
        let answer = bearer(&site, "", &token).await;
        assert_eq!((answer.status, answer.problem().as_str()), (401, "credentials-not-valid"), "{case}");
    }
}

#[tokio::test]
async fn nonsense_in_any_credential_is_401_and_never_500() {
    let site = Site::start().await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let good = jane.cookies(&site.cms_url);
    let url = site.auth("/validate");
    let long = "a".repeat(7_000);
    for value in [
        "Bearer",
        "Bearer ",
        "bearer x",
        "BEARER a.b.c",
        "Bearer a b c",
        "Bearer \u{e9}",
        &format!("Bearer {long}"),
        "Bearer ..",
        "Bearer e30.e30.",
    ] {
        let value = reqwest::header::HeaderValue::from_bytes(value.as_bytes()).unwrap();
        // A bearer line wins, though a good session comes with it.
        let answer = Browser::new()
            .send(Method::GET, &url, |r| r.header("authorization", value.clone()).header("cookie", &good))
            .await;
        assert_eq!(answer.status, 401, "{value:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_token\""), "{value:?}");
    }
    let two = |r: reqwest::RequestBuilder| {
        r.header("authorization", "Bearer a").header("authorization", "Basic b").header("cookie", &good)
    };
    assert_eq!(Browser::new().send(Method::GET, &url, two).await.status, 401);
    // Another scheme is not ours to judge: the session speaks.
    let basic = |r: reqwest::RequestBuilder| r.header("authorization", "Basic dTpw").header("cookie", &good);
    assert_eq!(Browser::new().send(Method::GET, &url, basic).await.status, 200);
    for cookie in [
        "auth=",
        "auth=x",
        "auth=AAAAAAAAAAAAAAAAAAAAAA",
        "auth=%00",
        "auth",
        "=x",
        ";;;=;",
        "auth=\"AAAAAAAAAAAAAAAAAAAAAA\"",
        &format!("auth={long}"),
    ] {
        let answer = Browser::new().send(Method::GET, &url, |r| r.header("cookie", cookie)).await;
        assert_eq!(answer.status, 401, "{cookie}");
    }
    let in_query =
        site.auth(&format!("/validate?access_token={}", site.pool.mint_access_token("dev-web-client", "jane", &[])));
    assert_eq!(
        Browser::new().get(&in_query).await.status,
        400,
        "a token in the query is no credential but a bad requirement"
    );
}

#[tokio::test]
async fn a_live_session_is_found_behind_planted_cookies() {
    let site = Site::start().await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let good = jane.cookies(&site.cms_url);
    let status = async |cookies: String| {
        Browser::new().send(Method::GET, &site.auth("/validate"), |r| r.header("cookie", cookies)).await.status
    };
    let planted = "auth=AAAAAAAAAAAAAAAAAAAAAA";
    let other = "auth=BBBBBBBBBBBBBBBBBBBBBA";
    assert_eq!(status(format!("{planted}; {good}")).await, 200);
    assert_eq!(status(format!("auth=junk; x=y; {planted}; {other}; {good}")).await, 200);
    assert_eq!(
        status(format!("{planted}; {other}; auth=CCCCCCCCCCCCCCCCCCCCCA; {good}")).await,
        401,
        "at most three are tried"
    );
    let lines = |r: reqwest::RequestBuilder| r.header("cookie", planted).header("cookie", good.as_str());
    assert_eq!(
        Browser::new().send(Method::GET, &site.auth("/validate"), lines).await.status,
        200,
        "over several lines"
    );
}

#[tokio::test]
async fn live_sessions_of_two_users_in_one_request_are_nobodys() {
    let site = Site::with(&[("SERVER__TRUSTED_PROXIES", "127.0.0.1")]).await;
    let (jane, mallory) = (Browser::new(), Browser::new());
    jane.sign_in(&site, "jane").await;
    mallory.sign_in(&site, "erin").await;
    let (hers, planted) = (jane.cookies(&site.cms_url), mallory.cookies(&site.cms_url));
    for cookies in [format!("{planted}; {hers}"), format!("{hers}; {planted}")] {
        let ask = async |method: Method, path: &str, more: &[(&str, &str)]| {
            let shape = |r: reqwest::RequestBuilder| {
                more.iter().fold(r.header("cookie", &cookies), |r, (name, value)| r.header(*name, *value))
            };
            Browser::new().send(method, &site.auth(path), shape).await
        };
        let page = [("x-original-url", "http://wiki.app.localhost:4000/"), ("sec-fetch-mode", "navigate")];
        for (method, path) in [
            (Method::GET, "/validate"),
            (Method::GET, "/auth/session"),
            (Method::GET, "/auth/sessions"),
            (Method::POST, "/refresh?force=true"),
            (Method::GET, "/auth/profile"),
            (Method::DELETE, "/auth/sessions/AAAAAAAAAAAAAAAA"),
        ] {
            let answer = ask(method, path, &[]).await;
            assert_eq!((answer.status, answer.problem().as_str()), (401, "ambiguous-session"), "{path}");
            assert!(answer.header("www-authenticate").unwrap().contains("invalid_token"));
            assert!(answer.json()["signin_url"].as_str().unwrap().contains("prompt=login"), "{answer:?}");
        }
        // A redirect could go round for ever: the sign-in may not be sent the planted cookie.
        let shown = ask(Method::GET, "/validate/browser", &page).await;
        assert_eq!((shown.status, shown.header("location")), (401, None));
        assert!(shown.body.contains("prompt=login"), "{}", shown.body);
        assert_eq!(ask(Method::GET, "/validate/browser", &page[..1]).await.problem(), "ambiguous-session");
        let begun = ask(Method::GET, "/auth/signin", &[]).await;
        assert_eq!(begun.status, 302, "a way out");
        assert!(begun.location().starts_with(&site.pool.base_url()), "{}", begun.location());
        assert_eq!(ask(Method::GET, "/auth/signout", &[]).await.status, 200, "and another");
        assert_eq!(ask(Method::GET, "/", &[]).await.status, 200);
    }
    assert_eq!(site.metric("auth_api_validates_total{result=\"ambiguous\"}").await, 6);
    assert_eq!(jane.validate(&site).await.status, 200, "nothing was ended by it");
}

#[tokio::test]
async fn a_sign_in_ends_all_sessions_that_the_browser_shows() {
    let site = Site::start().await;
    let (jane, mallory) = (Browser::new(), Browser::new());
    jane.sign_in(&site, "jane").await;
    mallory.sign_in(&site, "erin").await;
    let (first, planted) = (jane.cookies(&site.cms_url), mallory.cookies(&site.cms_url));
    let callback = jane.to_callback(&site, "prompt=login", "jane").await;
    let both = format!("{planted}; {}", jane.cookies(&site.auth_url));
    let landed = Browser::new().send(Method::GET, &callback, |r| r.header("cookie", both)).await;
    assert_eq!(landed.status, 302, "{landed:?}");
    let new = landed.set_cookies("auth=")[0].split(';').next().unwrap().to_owned();
    let status = async |cookies: String| {
        Browser::new().send(Method::GET, &site.auth("/validate"), |r| r.header("cookie", cookies)).await.status
    };
    assert_eq!((status(first).await, status(planted.clone()).await), (401, 401));
    assert_eq!(status(format!("{planted}; {new}")).await, 200, "what is planted is over");
}

#[tokio::test]
async fn of_several_live_sessions_of_one_user_the_newest_answers() {
    let site = Site::start().await;
    let mut cookies = Vec::new();
    for _ in 0..3 {
        let browser = Browser::new();
        browser.sign_in(&site, "jane").await;
        cookies.push(browser.cookies(&site.cms_url));
        site.pass(10);
    }
    let current = async |cookies: String| {
        let answer =
            Browser::new().send(Method::GET, &site.auth("/auth/sessions"), |r| r.header("cookie", cookies)).await;
        let json = answer.json();
        json["sessions"].as_array().unwrap().iter().position(|item| item["current"] == true).unwrap()
    };
    assert_eq!(current(cookies.join("; ")).await, 0);
    assert_eq!(current(format!("{}; {}; {}", cookies[2], cookies[0], cookies[1])).await, 0);
    assert_eq!(current(format!("{}; {}", cookies[0], cookies[1])).await, 1);
    // More than anybody looks at is nobody's: the one that counts could be among the rest.
    let mallory = Browser::new();
    mallory.sign_in(&site, "erin").await;
    let four = format!("{}; {}", cookies.join("; "), mallory.cookies(&site.cms_url));
    let answer = Browser::new().send(Method::GET, &site.auth("/validate"), |r| r.header("cookie", four)).await;
    assert_eq!((answer.status, answer.problem().as_str()), (401, "ambiguous-session"));
}

#[tokio::test]
async fn requirements_allow_refuse_or_are_malformed() {
    let site = Site::start().await;
    let erin = Browser::new();
    erin.sign_in(&site, "erin").await;
    for (query, status, problem) in [
        ("group=editors", 200, ""),
        ("group=nobody&group=admins&scope=openid&email_domain=example.com", 200, ""),
        ("group=nobody", 403, "insufficient-scope"),
        ("scope=openid&scope=admin", 403, "insufficient-scope"),
        ("email_domain=evil.test", 403, "insufficient-scope"),
        ("group=", 400, "invalid-requirement"),
        ("group=editors&scope=", 400, "invalid-requirement"),
        ("groups=editors", 400, "invalid-requirement"),
        ("x", 400, "invalid-requirement"),
        ("group=%ff", 403, "insufficient-scope"),
        ("&&", 200, ""),
    ] {
        let answer = erin.get(&site.auth(&format!("/validate?{query}"))).await;
        assert_eq!(answer.status, status, "{query}");
        if status != 200 {
            assert_eq!(answer.problem(), problem, "{query}");
        }
        if status == 403 {
            assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"insufficient_scope\""));
            assert!(IDENTITY.iter().all(|name| !answer.headers.contains_key(*name)));
        }
    }
    assert_eq!(Browser::new().get(&site.auth("/validate?group=")).await.status, 400, "malformed for anybody");
}

#[tokio::test]
async fn a_verified_token_is_remembered_and_still_runs_out() {
    let site = Site::start().await;
    let token = site.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
    assert_eq!(bearer(&site, "", &token).await.status, 200);
    assert_eq!(bearer(&site, "", &token).await.status, 200);
    site.clock.shift(3_600 + 25);
    assert_eq!(bearer(&site, "", &token).await.status, 200, "within the leeway");
    site.clock.shift(10);
    assert_eq!(bearer(&site, "", &token).await.status, 401);
}

#[tokio::test]
async fn an_access_token_that_ran_out_does_not_end_a_session() {
    let site = Site::start().await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let calls = site.pool.count(PoolEndpoint::Token);
    site.pass(86_400);
    assert_eq!(jane.validate(&site).await.status, 200);
    assert_eq!(site.pool.count(PoolEndpoint::Token), calls, "a validate calls nobody");
}

#[tokio::test]
async fn keys_are_read_again_for_an_unknown_kid_but_not_for_a_flood_of_them() {
    let site = Site::start().await;
    let old = site.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
    assert_eq!(bearer(&site, "", &old).await.status, 200);
    site.pool.rotate_keys();
    let new = site.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
    let read = site.pool.count(PoolEndpoint::Jwks);
    let both = futures_util::future::join_all((0..20).map(|_| bearer(&site, "", &new))).await;
    assert!(both.iter().all(|answer| answer.status == 200));
    assert_eq!(site.pool.count(PoolEndpoint::Jwks), read + 1, "one read for all");
    assert_eq!(bearer(&site, "", &old).await.status, 401, "a withdrawn key verifies nothing, remembered or not");

    let read = site.pool.count(PoolEndpoint::Jwks);
    let unknown = AtomicU64::new(0);
    site.pool.tamper_access_token(move |d| {
        d.header.insert("kid".into(), json!(format!("unknown {}", unknown.fetch_add(1, Ordering::Relaxed))));
    });
    for _ in 0..30 {
        let token = site.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
        assert_eq!(bearer(&site, "", &token).await.status, 401);
    }
    assert!(site.pool.count(PoolEndpoint::Jwks) <= read + 1);
    site.pool.clear_tampering();
    site.clock.shift(11);
    site.pool.rotate_keys();
    let newest = site.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
    assert_eq!(bearer(&site, "", &newest).await.status, 200, "the flood does not lock a real rotation out");
}

#[tokio::test]
async fn while_the_provider_is_away_known_keys_go_on_verifying() {
    let site = Site::start().await;
    assert_eq!(bearer(&site, "", &site.pool.mint_id_token("dev-web-client", "jane")).await.status, 200);
    for endpoint in [PoolEndpoint::Jwks, PoolEndpoint::Discovery] {
        site.pool.fault(endpoint, Fault::Status { status: 500, content_type: "text/html", body: String::new() });
    }
    assert_eq!(bearer(&site, "", &site.pool.mint_access_token("dev-web-client", "erin", &[])).await.status, 200);
    assert!(site.rp.provider.renew_metadata().await.is_err());
    assert_eq!(bearer(&site, "", &site.pool.mint_id_token("dev-web-client", "erin")).await.status, 200);
    site.pool.fault(
        PoolEndpoint::Jwks,
        Fault::Status { status: 200, content_type: "application/json", body: "{\"keys\":[]}".into() },
    );
    site.pool.rotate_keys();
    assert_eq!(bearer(&site, "", &site.pool.mint_id_token("dev-web-client", "jane")).await.status, 401);
}

#[tokio::test]
async fn exposed_tokens_come_as_cookies_in_pieces_and_speak_where_there_is_no_session() {
    let site = Site::with(&[
        ("COOKIES__EXPOSE", "id_token,access_token"),
        ("GATEWAY__FORWARD_TOKENS", "id_token,access_token"),
    ])
    .await;
    site.pool.pad_tokens(6_000);
    let jane = Browser::new();
    let landed = jane.sign_in(&site, "jane").await;
    let pieces = landed.set_cookies("id_token-");
    assert!(pieces.len() >= 2, "{pieces:?}");
    for piece in &pieces {
        assert!(piece.len() < 4_096 && piece.contains("HttpOnly") && piece.contains("Domain=app.localhost"));
        let value = piece.split_once('=').unwrap().1.split(';').next().unwrap();
        assert!(value.len() <= 3_800);
    }
    assert!(!format!("{:?}", landed.headers).contains("refresh"), "the refresh token never leaves");
    let cookies = jane.cookies(&site.cms_url);
    let value = |name: &str| cookies.split("; ").find_map(|c| c.strip_prefix(name)).unwrap_or_default().to_owned();
    let id_token: String = (0..pieces.len()).map(|i| value(&format!("id_token-{i}="))).collect();
    let who = jane.validate(&site).await;
    assert_eq!(who.header("x-auth-id-token"), Some(id_token.as_str()));
    assert_eq!(who.header("x-auth-access-token").unwrap().split('.').count(), 3);

    let without = |keep: &dyn Fn(&str) -> bool| cookies.split("; ").filter(|c| keep(c)).collect::<Vec<_>>().join("; ");
    let status = async |cookies: String| {
        Browser::new().send(Method::GET, &site.auth("/validate"), |r| r.header("cookie", cookies)).await
    };
    let alone = status(without(&|c| !c.starts_with("auth="))).await;
    assert_eq!((alone.status, alone.header("x-auth-id-token")), (200, Some("")));
    assert_eq!(status(without(&|c| c.starts_with("id_token-0"))).await.status, 401, "a piece alone is nothing");
    let dead = without(&|c| !c.starts_with("auth=")) + "; auth=AAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(status(dead).await.status, 401, "a dead session is not brought back by its token");
    let many: String = (0..200).map(|i| format!("id_token-{i}=x; ")).collect();
    assert_eq!(status(many).await.status, 401);

    site.pool.pad_tokens(0);
    let refreshed = jane.post(&site.auth("/refresh?force=true"), &[]).await;
    assert_eq!(refreshed.status, 200);
    assert_eq!(refreshed.set_cookies("id_token=").len(), 1);
    assert!(refreshed.set_cookies("id_token-").iter().all(|c| c.contains("Max-Age=0")), "stale pieces go");
    let out = jane.post(&site.auth("/auth/signout"), &[]).await;
    assert!(
        out.set_cookies("id_token=").iter().all(|c| c.contains("Max-Age=0"))
            && !out.set_cookies("id_token=").is_empty()
    );
    assert_eq!(jane.validate(&site).await.status, 401);
}

#[tokio::test]
async fn without_being_configured_no_token_is_exposed_or_taken_from_a_cookie() {
    let site = Site::start().await;
    let jane = Browser::new();
    let landed = jane.sign_in(&site, "jane").await;
    assert!(landed.set_cookies("id_token").is_empty() && landed.set_cookies("access_token").is_empty());
    let who = jane.validate(&site).await;
    assert!(!who.headers.contains_key("x-auth-id-token") && !who.headers.contains_key("x-auth-access-token"));
    let token = site.pool.mint_id_token("dev-web-client", "jane");
    let answer = Browser::new()
        .send(Method::GET, &site.auth("/validate"), |r| r.header("cookie", format!("id_token={token}")))
        .await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn a_validate_is_counted_and_not_logged() {
    let site = Site::start().await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let log = Log::capture();
    for _ in 0..3 {
        jane.validate(&site).await;
    }
    Browser::new().validate(&site).await;
    assert!(!log.text().contains("INFO"), "{}", log.text());
    assert_eq!(site.metric("auth_api_validates_total{result=\"session\"}").await, 3);
    assert_eq!(site.metric("auth_api_validates_total{result=\"anonymous\"}").await, 1);
}

#[tokio::test]
async fn a_pages_script_reads_the_session_from_allowed_origins_only() {
    let site = Site::start().await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let ask = async |browser: &Browser, origin: &str| {
        browser.send(Method::GET, &site.auth("/auth/session"), |r| r.header("origin", origin)).await
    };
    let ours = ask(&jane, &site.cms_url).await;
    assert_eq!((ours.status, ours.header("access-control-allow-origin")), (200, Some(site.cms_url.as_str())));
    assert_eq!(ours.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(ours.json()["username"], "jane");
    assert!(ours.json()["session_expires_at"].as_u64() > ours.json()["expires_at"].as_u64());
    let anonymous = ask(&Browser::new(), &site.cms_url).await;
    assert_eq!((anonymous.status, anonymous.problem().as_str()), (401, "not-signed-in"));
    assert_eq!(
        anonymous.header("access-control-allow-origin"),
        Some(site.cms_url.as_str()),
        "a script can read the 401"
    );
    assert_eq!(anonymous.json()["signin_url"], site.auth("/auth/signin"));
    for evil in ["https://evil.test", "null", "http://app.localhost.evil.test", "http://evilapp.localhost"] {
        assert_eq!(ask(&jane, evil).await.header("access-control-allow-origin"), None, "{evil}");
    }
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_keep_a_new_key_from_the_others() {
    let site = Site::start().await;
    assert_eq!(bearer(&site, "", &site.pool.mint_id_token("dev-web-client", "jane")).await.status, 200);
    site.pool.rotate_keys();
    let token = site.pool.mint_id_token("dev-web-client", "jane");
    site.pool.fault_once(PoolEndpoint::Jwks, Fault::Delay(Duration::from_millis(300)));
    let read = site.pool.count(PoolEndpoint::Jwks);
    let url = site.auth("/validate");
    let asking = Browser::new();
    tokio::select! {
        _ = asking.send(Method::GET, &url, |r| r.bearer_auth(&token)) => panic!("answered before the keys came"),
        () = until("the keys are asked for", async || site.pool.count(PoolEndpoint::Jwks) > read) => {}
    }
    assert_eq!(bearer(&site, "", &token).await.status, 200);
    assert_eq!(site.pool.count(PoolEndpoint::Jwks), read + 1);
}

#[tokio::test]
async fn a_token_has_one_spelling() {
    let site = Site::start().await;
    for token in
        [site.pool.mint_id_token("dev-web-client", "jane"), site.pool.mint_access_token("dev-web-client", "jane", &[])]
    {
        assert_eq!(bearer(&site, "", &token).await.status, 200);
        let last = token.chars().last().unwrap();
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for other in alphabet.chars().filter(|c| *c != last) {
            let spelled = format!("{}{other}", &token[..token.len() - 1]);
            assert_eq!(bearer(&site, "", &spelled).await.status, 401, "{other} for {last}");
        }
        assert_eq!(bearer(&site, "", &format!("{token}=")).await.status, 401);
    }
}

#[tokio::test]
async fn a_preflight_is_answered_for_our_own_pages() {
    let site = Site::start().await;
    for (path, method) in [("/refresh", "POST"), ("/auth/session", "GET")] {
        let ask = async |origin: &str| {
            let shape = |r: reqwest::RequestBuilder| {
                r.header("origin", origin)
                    .header("access-control-request-method", method)
                    .header("access-control-request-headers", "content-type")
            };
            Browser::new().send(Method::OPTIONS, &site.auth(path), shape).await
        };
        let ours = ask(&site.cms_url).await;
        assert!(ours.status == 200 || ours.status == 204, "{path}: {}", ours.status);
        assert_eq!(ours.header("access-control-allow-origin"), Some(site.cms_url.as_str()), "{path}");
        assert_eq!(ours.header("access-control-allow-credentials"), Some("true"));
        assert!(ours.header("access-control-allow-methods").unwrap().contains(method));
        assert_eq!(ours.header("access-control-allow-headers"), Some("content-type"));
        assert_eq!(ask("https://evil.test").await.header("access-control-allow-origin"), None);
    }
}
