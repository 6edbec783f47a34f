//! An issuer that somebody else administers says what it likes.

use super::{BLOCK, MACHINE, ORDERS, PEOPLE, WEB, World, block, pool};
use crate::machine::identity::clients;
use crate::support::{Browser, Site};
use auth_api::dev::pool::{PoolEndpoint, Signature, UnsignedJwt, UserPool};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

fn tampered(pool: &UserPool, edit: impl Fn(&mut UnsignedJwt) + Send + Sync + 'static) -> String {
    pool.tamper_access_token(edit);
    let token = pool.mint_machine_token(MACHINE, &ORDERS);
    pool.clear_tampering();
    token
}

fn kid(token: &str) -> Value {
    let header = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].clone()
}

#[tokio::test]
async fn one_issuers_key_signs_for_that_issuer_alone() {
    let world = World::start(BLOCK).await;
    let (ours, theirs) = (world.site.pool.mint_machine_token(MACHINE, &ORDERS), world.machine());
    let (our_kid, their_kid) = (kid(&ours), kid(&theirs));
    assert_ne!(our_kid, their_kid, "or this would prove nothing");
    let (provider, iss) = (world.site.pool.issuer(), world.iss.clone());
    let everybody = format!("?issuer={provider}&issuer={iss}");
    for (who, token) in [("ours", &ours), ("theirs", &theirs)] {
        assert_eq!(world.validate(&everybody, token).await.status, 200, "{who}, untouched");
    }
    let claim = |iss: &str, kid: &Value| {
        let (iss, kid) = (iss.to_owned(), kid.clone());
        move |draft: &mut UnsignedJwt| {
            draft.claims.insert("iss".into(), json!(iss));
            draft.header.insert("kid".into(), kid.clone());
        }
    };
    for (what, pool, iss, kid, status) in [
        ("their key, our name", &world.pool, &provider, &their_kid, 401),
        ("their key, our name, our kid", &world.pool, &provider, &our_kid, 401),
        ("their key, their name, our kid", &world.pool, &iss, &our_kid, 401),
        ("our key, their name", &world.site.pool, &iss, &our_kid, 401),
        ("our key, their name, their kid", &world.site.pool, &iss, &their_kid, 401),
        ("their key, their name, their kid", &world.pool, &iss, &their_kid, 200),
        ("our key, our name, our kid", &world.site.pool, &provider, &our_kid, 200),
    ] {
        let token = tampered(pool, claim(iss, kid));
        assert_eq!(world.validate(&everybody, &token).await.status, status, "{what}");
        assert_eq!(
            world.page("/", &token).await.status,
            if status == 200 { 403 } else { 401 },
            "{what}: no page either"
        );
    }
}

#[tokio::test]
async fn a_token_that_is_forged_or_of_nobody_is_refused() {
    let world = World::start(BLOCK).await;
    assert_eq!(world.named("", &tampered(&world.pool, |_| {})).await.status, 200);
    type Tamper = fn(&mut UnsignedJwt);
    let claim = |d: &mut UnsignedJwt, name: &str, value: Value| drop(d.claims.insert(name.into(), value));
    let cases: [(&str, Tamper); 9] = [
        ("alg none", |d| d.signature = Signature::None),
        ("the public key as an HMAC secret", |d| d.signature = Signature::HmacWithPublicKey),
        ("that, called RS256", |d| {
            d.header.insert("alg".into(), json!("RS256"));
            d.signature = Signature::HmacWithPublicKey;
        }),
        ("a stranger's key", |d| d.signature = Signature::OtherKey),
        ("no kid", |d| drop(d.header.remove("kid"))),
        ("an ID token", |d| drop(d.claims.insert("token_use".into(), json!("id")))),
        ("no token_use", |d| drop(d.claims.remove("token_use"))),
        ("expired", |d| drop(d.claims.insert("exp".into(), json!(1)))),
        ("no expiry", |d| drop(d.claims.remove("exp"))),
    ];
    for (case, tamper) in cases {
        assert_eq!(world.named("", &tampered(&world.pool, tamper)).await.status, 401, "{case}");
    }
    // Issuers are compared letter by letter, and a list of them is none.
    for iss in [
        json!(format!("{}/", world.iss)),
        json!(world.iss.to_uppercase()),
        json!([world.iss]),
        json!([world.site.pool.issuer(), world.iss]),
        json!(world.iss.replace("eu-central-1_Further1", "eu-west-1_DevPool01")),
        json!(""),
        Value::Null,
    ] {
        let named = iss.clone();
        let token = tampered(&world.pool, move |d| claim(d, "iss", named.clone()));
        assert_eq!(world.named("", &token).await.status, 401, "{iss}");
    }
}

#[tokio::test]
async fn an_id_token_of_a_further_issuer_is_no_bearer() {
    let world = World::start(PEOPLE).await;
    let (access, id) = (world.pool.mint_access_token(WEB, "erin", &[]), world.pool.mint_id_token(WEB, "erin"));
    assert_eq!((world.named("", &access).await.status, world.named("", &id).await.status), (200, 401));
    let ours = world.site.pool.mint_id_token(WEB, "erin");
    assert_eq!(world.validate("", &ours).await.status, 200, "the provider's is one");
}

#[tokio::test]
async fn an_equal_subject_is_not_our_user() {
    let rule = "[[policy.site]]\nhost = \"wiki.app.localhost\"\npath = \"/admin\"\ngroups = [\"admins\"]\n";
    let text = PEOPLE.replace("[\"editors\"]", "[\"editors\", \"admins\"]");
    let world = World::with(&text, |_| rule.to_owned()).await;
    let erin = Browser::new();
    erin.sign_in(&world.site, "erin").await;
    let ours = erin.validate(&world.site).await.json();
    let token = world.pool.mint_access_token(WEB, "erin", &["openid", "aws.cognito.signin.user.admin"]);
    let theirs = world.named("&group=admins", &token).await.json();
    for name in ["sub", "username", "client_id"] {
        assert_eq!(theirs[name], ours[name], "equal in all that is compared elsewhere: {name}");
    }
    for query in ["", "?group=admins", "?email_domain=example.com"] {
        assert_eq!(erin.get(&world.site.auth(&format!("/validate{query}"))).await.status, 200, "{query}");
        assert_eq!(world.validate(query, &token).await.status, 403, "{query}");
    }
    assert_eq!(world.page("/admin", &token).await.status, 403);
    let own = world.site.pool.mint_access_token(WEB, "erin", &[]);
    assert_eq!(world.page("/admin", &own).await.status, 200);
    // What belongs to a session is no bearer's.
    for (method, path) in [
        (Method::GET, "/auth/session"),
        (Method::GET, "/auth/sessions"),
        (Method::GET, "/auth/profile"),
        (Method::POST, "/auth/aws-credentials"),
        (Method::POST, "/refresh"),
    ] {
        let answer = Browser::new().send(method, &world.site.auth(path), |r| r.bearer_auth(&token)).await;
        assert!([401, 404].contains(&answer.status), "{path}: {answer:?}");
    }
    assert_eq!(erin.validate(&world.site).await.status, 200, "nothing ended");
}

#[tokio::test]
async fn an_equal_client_id_is_not_a_client_registered_here() {
    let rule = "[[policy.site]]\nhost = \"wiki.app.localhost\"\npath = \"/export\"\nclients = [\"nightly\"]\n";
    let block = "accepted_clients = [\"nightly\", \"dev-cms-client\"]\nscopes = [\"cms/read\"]\n";
    let world = World::with(block, |_| clients("", &[("nightly", "")]) + rule).await;
    let fetched = world.about("/token", &[("grant_type", "client_credentials")]).await.json();
    let own = fetched["access_token"].as_str().unwrap();
    assert_eq!(
        (world.page("/export", own).await.status, world.validate("?client=nightly", own).await.status),
        (200, 200)
    );
    for client in ["nightly", "dev-cms-client"] {
        let token = world.pool.mint_machine_token(client, &["cms/read"]);
        assert_eq!(world.named("&scope=cms/read", &token).await.json()["client_id"], client);
        assert_eq!(world.page("/export", &token).await.status, 403, "{client}");
        for query in ["?client=nightly".to_owned(), format!("?client=nightly&issuer={}", world.iss)] {
            assert_eq!(world.validate(&query, &token).await.status, 403, "{client} {query}");
        }
    }
}

#[tokio::test]
async fn an_equal_token_id_revokes_nothing_of_the_providers() {
    let block = "accepted_clients = [\"dev-cms-client\"]\nscopes = [\"cms/read\"]\n";
    let world = World::with(block, |_| clients("", &[("nightly", "")])).await;
    let with_ids = |pool: &UserPool| {
        pool.tamper_access_token(|d| {
            let ids = json!({ "jti": "one-for-both", "origin_jti": "one-for-both" });
            d.claims.extend(ids.as_object().unwrap().clone());
        });
        pool.mint_machine_token("dev-cms-client", &["cms/read"])
    };
    let (theirs, ours) = (with_ids(&world.pool), with_ids(&world.site.pool));
    // The registered client may revoke what was issued to its upstream's app client.
    assert_eq!(world.about("/revoke", &[("token", &theirs)]).await.status, 200, "nothing of ours");
    assert_eq!((world.named("", &theirs).await.status, world.validate("", &ours).await.status), (200, 200));
    assert_eq!(world.about("/revoke", &[("token", &ours)]).await.status, 200);
    assert_eq!(world.validate("", &ours).await.status, 401, "by that very id");
    assert_eq!(world.named("", &theirs).await.status, 200, "the provider ends nothing of theirs either");
}

#[tokio::test]
async fn made_up_tokens_make_nobody_read_keys_more_often() {
    let world = World::start(BLOCK).await;
    let ours = world.site.pool.mint_machine_token(MACHINE, &ORDERS);
    assert_eq!((world.named("", &world.machine()).await.status, world.validate("", &ours).await.status), (200, 200));
    let reads = || [&world.pool, &world.site.pool].map(|pool| pool.count(PoolEndpoint::Jwks));
    let [theirs, provider] = reads();
    for number in 0..20 {
        for iss in [world.iss.clone(), "https://nobody.example".to_owned()] {
            let token = tampered(&world.pool, move |d| {
                d.header.insert("kid".into(), json!(format!("made up {number}")));
                d.claims.insert("iss".into(), json!(iss));
            });
            assert_eq!(world.named("", &token).await.status, 401);
        }
    }
    assert_eq!(reads(), [theirs + 1, provider], "one for the issuer that they name, none for nobody's");
    world.site.clock.shift(11);
    world.pool.rotate_keys();
    assert_eq!(world.named("", &world.machine()).await.status, 200, "and its new keys are found");
}

#[tokio::test]
async fn names_that_would_fill_the_memory_are_refused() {
    let world = World::start(PEOPLE).await;
    for (length, status) in [(255, 200), (256, 401), (20_000, 401)] {
        world.pool.tamper_access_token(move |d| drop(d.claims.insert("sub".into(), json!("%".repeat(length)))));
        let token = world.pool.mint_access_token(WEB, "jane", &["openid"]);
        assert_eq!(world.named("", &token).await.status, status, "{length}");
    }
}

#[tokio::test]
async fn a_cookie_that_a_sibling_could_plant_speaks_for_the_provider_alone() {
    let pool = pool().await;
    let text = block(&pool.issuer(), BLOCK);
    let site = Site::with_text(&text, &[("COOKIES__EXPOSE", "id_token")]).await;
    let url = site.auth(&format!("/validate?issuer={}", pool.issuer()));
    let token = pool.mint_machine_token(MACHINE, &ORDERS);
    let status = async |name: &str, value: &str| {
        let shape = |r: reqwest::RequestBuilder| r.header(name, value);
        Browser::new().send(Method::GET, &url, shape).await.status
    };
    assert_eq!(status("authorization", &format!("Bearer {token}")).await, 200);
    assert_eq!(status("cookie", &format!("id_token={token}")).await, 401);
}
