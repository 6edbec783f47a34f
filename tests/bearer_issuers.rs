//! Access tokens of further issuers as bearers: heard where their issuer is named, and only in what is listed.

mod attacks;
mod documents;

use crate::forward_auth::{TRUSTED, asked};
use crate::machine::SECRET;
use crate::machine::identity::clients;
use crate::support::{Answer, Browser, Log, Site};
use auth_api::dev::pool::{PoolSettings, UserPool};
use reqwest::Method;
use serde_json::{Value, json};

const ORDERS: [&str; 2] = ["https://api.example.com/orders.read", "https://api.example.com/orders.write"];
/// Clients of both pools: the further one has the very users and clients of the provider.
const MACHINE: &str = "dev-machine-client";
const WEB: &str = "dev-web-client";
/// What a block says unless a test wants more: one client's tokens, one scope.
const BLOCK: &str = "accepted_clients = [\"dev-machine-client\"]\nscopes = [\"https://api.example.com/orders.read\"]\n";
/// The same of people, in one group.
const PEOPLE: &str = "accepted_clients = [\"dev-web-client\", \"dev-machine-client\"]\nkinds = [\"user\"]\n\
                      groups = [\"editors\"]\nscopes = [\"openid\"]\n";

/// A service, and the pool of its further issuer.
struct World {
    site: Site,
    pool: UserPool,
    /// The further issuer.
    iss: String,
}

/// A pool with keys of its own: those of a process are one pair until they are changed.
async fn pool() -> UserPool {
    let settings = PoolSettings { pool_id: "eu-central-1_Further1".to_owned(), ..PoolSettings::default() };
    let pool = UserPool::start(settings).await.unwrap();
    pool.rotate_keys();
    pool
}

fn block(iss: &str, block: &str) -> String {
    format!("[[provider.bearer_issuer]]\nissuer = \"{iss}\"\n{block}\n")
}

impl World {
    /// With this block for the further issuer.
    async fn start(block: &str) -> Self {
        Self::with(block, |_| String::new()).await
    }

    /// With more configuration, which may name the further issuer.
    async fn with(text: &str, more: impl Fn(&str) -> String) -> Self {
        let pool = pool().await;
        let iss = pool.issuer();
        let site = Site::with_text(&format!("{}{}", block(&iss, text), more(&iss)), &[TRUSTED]).await;
        Self { site, pool, iss }
    }

    /// What `/validate` answers to who names the further issuer, and further requirements.
    async fn named(&self, requirements: &str, token: &str) -> Answer {
        self.validate(&format!("?issuer={}{requirements}", self.iss), token).await
    }

    async fn validate(&self, query: &str, token: &str) -> Answer {
        let url = self.site.auth(&format!("/validate{query}"));
        Browser::new().send(Method::GET, &url, |request| request.bearer_auth(token)).await
    }

    /// What a proxy is answered about a page of the wiki.
    async fn page(&self, path: &str, token: &str) -> Answer {
        let page = format!("http://wiki.app.localhost{path}");
        let bearer = format!("Bearer {token}");
        asked(&Browser::new(), &self.site, "/validate", &page, &[("authorization", &bearer)]).await
    }

    async fn about(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let shape = |r: reqwest::RequestBuilder| r.basic_auth("nightly", Some(SECRET)).form(form);
        Browser::new().send(Method::POST, &self.site.auth(path), shape).await
    }

    async fn readyz(&self, query: &str) -> Answer {
        Browser::new().get(&format!("{}/readyz{query}", self.site.ops_url)).await
    }

    fn machine(&self) -> String {
        self.pool.mint_machine_token(MACHINE, &ORDERS)
    }
}

#[tokio::test]
async fn a_machine_of_a_second_pool_is_known_to_who_names_the_pool() {
    let world = World::start(BLOCK).await;
    let token = world.machine();
    let known = world.named(&format!("&scope={}", ORDERS[0]), &token).await;
    assert_eq!(known.status, 200, "{known:?}");
    let said = known.json();
    let expected = [("iss", json!(world.iss)), ("provider", json!(world.iss)), ("kind", json!("machine"))];
    for (name, value) in expected {
        assert_eq!(said[name], value, "{name}: {said}");
    }
    assert_eq!((&said["sub"], &said["client_id"], &said["owner"]), (&json!(MACHINE), &json!(MACHINE), &Value::Null));
    assert_eq!(said["scopes"], json!([ORDERS[0]]), "what is not listed it does not grant");
    for (name, value) in [
        ("x-auth-subject", MACHINE),
        ("x-auth-client-id", MACHINE),
        ("x-auth-kind", "machine"),
        ("x-auth-scopes", ORDERS[0]),
        ("x-auth-provider", &*world.iss),
    ] {
        assert_eq!(known.header(name), Some(value), "{name}");
    }
    let both = format!("?issuer={}&issuer={}", world.site.pool.issuer(), world.iss);
    assert_eq!(world.validate(&both, &token).await.status, 200, "two issuers are either of them");
    for requirements in [format!("&scope={}", ORDERS[1]), "&group=editors".into(), format!("&client={MACHINE}")] {
        assert_eq!(world.named(&requirements, &token).await.status, 403, "{requirements}");
    }
    // To everybody else it is what it was before: somebody's, and not the provider's.
    let log = Log::capture();
    for query in ["", "?machines=true", &format!("?scope={}", ORDERS[0]), &format!("?issuer={}/", world.iss)] {
        let refused = world.validate(query, &token).await;
        assert_eq!((refused.status, refused.problem()), (403, "insufficient-scope".to_owned()), "{query}");
        assert!(refused.header("x-auth-subject").is_none(), "{query}");
    }
    assert!(log.text().contains(&format!("iss=\"{}\"", world.iss)), "whose subject was denied: {}", log.text());
}

#[tokio::test]
async fn the_providers_own_tokens_and_sessions_are_as_they_were() {
    let world = World::start(BLOCK).await;
    let ours = world.site.pool.mint_machine_token(MACHINE, &ORDERS);
    let known = world.validate(&format!("?scope={}", ORDERS[1]), &ours).await;
    assert_eq!((known.status, known.json().get("iss")), (200, None), "nothing is listed for it, nothing left out");
    let jane = Browser::new();
    jane.sign_in(&world.site, "jane").await;
    assert_eq!(jane.validate(&world.site).await.status, 200);
    for (issuer, status) in [(world.site.pool.issuer(), 200), (world.iss.clone(), 403)] {
        let query = format!("?issuer={issuer}");
        assert_eq!(world.validate(&query, &ours).await.status, status, "{issuer}");
        let answer = jane.get(&world.site.auth(&format!("/validate{query}"))).await;
        assert_eq!(answer.status, status, "{issuer}");
    }
    assert_eq!(jane.get(&world.site.auth("/auth/session?issuer=x")).await.status, 400, "it is not read there");
}

#[tokio::test]
async fn only_listed_clients_and_audiences_count() {
    let world = World::start(BLOCK).await;
    assert_eq!(world.named("", &world.machine()).await.status, 200);
    let other = world.pool.mint_machine_token("dev-cms-client", &ORDERS);
    assert_eq!(world.named("", &other).await.status, 401, "accepted by nobody");
    let for_api = |world: &World, aud: Value| {
        world.pool.tamper_access_token(move |d| drop(d.claims.insert("aud".into(), aud.clone())));
        let token = world.machine();
        world.pool.clear_tampering();
        token
    };
    for aud in [json!("https://api.example.com"), json!(["x", "y"]), json!(WEB), json!("")] {
        assert_eq!(world.named("", &for_api(&world, aud.clone())).await.status, 401, "{aud}");
    }
    let world = World::start(&format!("{BLOCK}accepted_audiences = [\"https://api.example.com\"]")).await;
    for (aud, status) in
        [(json!("https://api.example.com"), 200), (json!(["x", "https://api.example.com"]), 200), (json!("x"), 401)]
    {
        assert_eq!(world.named("", &for_api(&world, aud.clone())).await.status, status, "{aud}");
    }
}

#[tokio::test]
async fn people_count_where_that_is_asked_for_and_then_machines_do_not() {
    for (text, user, machine) in [
        (PEOPLE.replace("kinds = [\"user\"]\n", ""), 401, 200),
        (PEOPLE.to_owned(), 200, 401),
        (PEOPLE.replace("[\"user\"]", "[\"user\", \"machine\"]"), 200, 200),
    ] {
        let world = World::start(&text).await;
        let erin = world.pool.mint_access_token(WEB, "erin", &["openid", "email"]);
        assert_eq!(world.named("", &erin).await.status, user, "{text}");
        assert_eq!(world.named("", &world.machine()).await.status, machine, "{text}");
        assert_eq!(world.validate("", &erin).await.status, if user == 200 { 403 } else { 401 }, "who names nobody");
    }
}

#[tokio::test]
async fn of_a_person_nothing_is_taken_over_but_listed_groups_and_scopes() {
    let world = World::start(PEOPLE).await;
    world.pool.tamper_access_token(|d| {
        let said = json!({
            "email": "root@example.com", "email_verified": true, "name": "Root", "custom:legacy_id": "1", "acr": "gold",
            "amr": ["hwk"], "cognito:groups": ["editors", "admins", "Editors", "editors,admins"],
        });
        d.claims.extend(said.as_object().unwrap().clone());
    });
    let token = world.pool.mint_access_token(WEB, "erin", &["openid", "email", "aws.cognito.signin.user.admin"]);
    let known = world.named("&group=editors", &token).await;
    assert_eq!(known.status, 200, "{known:?}");
    let said = known.json();
    assert_eq!((&said["groups"], &said["scopes"]), (&json!(["editors"]), &json!(["openid"])));
    for (name, nothing) in [
        ("email", Value::Null),
        ("email_verified", json!(false)),
        ("name", Value::Null),
        ("attributes", json!({})),
        ("auth_time", Value::Null),
        ("acr", Value::Null),
        ("amr", json!([])),
    ] {
        assert_eq!(said[name], nothing, "{name}");
    }
    for (requirements, status) in [
        ("&group=admins", 403),
        ("&scope=email", 403),
        ("&email_domain=example.com", 403),
        ("&acr=gold", 401),
        ("&max_age=3600", 401),
    ] {
        assert_eq!(world.named(requirements, &token).await.status, status, "{requirements}");
    }
    // The same claims count where the provider makes them.
    world.site.pool.tamper_access_token(|d| drop(d.claims.insert("acr".into(), json!("gold"))));
    let ours = world.site.pool.mint_access_token(WEB, "erin", &["openid"]);
    assert_eq!(world.validate("?group=admins&acr=gold&max_age=3600", &ours).await.status, 200);
}

#[tokio::test]
async fn a_rule_for_a_page_opens_it_to_the_issuers_that_it_names() {
    let rules = |iss: &str| {
        let rule = |path: &str, more: &str| {
            format!("[[policy.site]]\nhost = \"wiki.app.localhost\"\npath = \"{path}\"\n{more}\n")
        };
        let issuers = format!("issuers = [\"{iss}\"]");
        let rules = [
            rule("/theirs", &format!("{issuers}\ngroups = [\"editors\"]")),
            rule("/machines", &format!("{issuers}\nscopes = [\"{}\"]", ORDERS[0])),
            rule("/nobodys-machines", &issuers),
            rule("/ours", "groups = [\"editors\"]"),
            rule("/public", "public = true"),
        ];
        rules.concat()
    };
    let text =
        PEOPLE.replace("[\"user\"]", "[\"user\", \"machine\"]").replace("\"openid\"", &format!("\"{}\"", ORDERS[0]));
    let world = World::with(&text, rules).await;
    let (erin, jane) = (world.pool.mint_access_token(WEB, "erin", &[]), world.pool.mint_access_token(WEB, "jane", &[]));
    let ours = world.site.pool.mint_access_token(WEB, "erin", &[]);
    let machine = world.machine();
    for (path, who, token, status) in [
        ("/theirs/a", "their editor", &erin, 200),
        ("/theirs", "somebody of theirs", &jane, 403),
        ("/theirs", "our editor", &ours, 403),
        ("/theirs/../ours", "their editor, whatever the site makes of the path", &erin, 403),
        ("/machines", "their machine", &machine, 200),
        ("/nobodys-machines", "their machine, of which the rule does not think", &machine, 403),
        ("/ours", "their editor", &erin, 403),
        ("/ours", "our editor", &ours, 200),
        ("/", "their editor, without a rule", &erin, 403),
        ("/", "our editor, without a rule", &ours, 200),
    ] {
        let answer = world.page(path, token).await;
        assert_eq!(answer.status, status, "{path} {who}: {answer:?}");
    }
    assert_eq!(world.page("/theirs", &erin).await.header("x-auth-provider"), Some(&*world.iss));
    for (who, token, kind) in [("theirs", &erin, ""), ("ours", &ours, "user")] {
        let public = world.page("/public", token).await;
        assert_eq!((public.status, public.header("x-auth-kind")), (200, Some(kind)), "{who}: a stranger, and a user");
    }
}

#[tokio::test]
async fn who_may_sign_in_at_all_holds_for_people_of_further_issuers_too() {
    for (policy, erin, jane) in [("groups = [\"editors\"]", 200, 403), ("email_domains = [\"example.com\"]", 403, 403)]
    {
        let world = World::with(PEOPLE, |_| format!("[policy]\n{policy}\n")).await;
        for (user, status) in [("erin", erin), ("jane", jane)] {
            let token = world.pool.mint_access_token(WEB, user, &[]);
            assert_eq!(world.named("", &token).await.status, status, "{policy} {user}");
        }
    }
}

#[tokio::test]
async fn introspection_is_for_who_names_the_issuer() {
    let world = World::with(BLOCK, |_| clients("", &[("nightly", "")])).await;
    let (theirs, ours) = (world.machine(), world.site.pool.mint_machine_token(MACHINE, &ORDERS));
    let (iss, provider) = (world.iss.clone(), world.site.pool.issuer());
    for (what, token, named, active) in [
        ("theirs", &theirs, None, false),
        ("theirs, named", &theirs, Some(&iss), true),
        ("theirs, another named", &theirs, Some(&provider), false),
        ("ours", &ours, None, true),
        ("ours, named", &ours, Some(&provider), true),
        ("ours, another named", &ours, Some(&iss), false),
    ] {
        let mut form = vec![("token", token.as_str())];
        form.extend(named.map(|iss| ("issuer", iss.as_str())));
        let told = world.about("/introspect", &form).await.json();
        assert_eq!(told["active"], active, "{what}: {told}");
        if active {
            let issuer = if token == &theirs { &iss } else { &provider };
            assert_eq!((&told["iss"], &told["owner"]), (&json!(issuer), &Value::Null), "{what}");
        }
    }
}

#[tokio::test]
async fn an_issuer_that_is_no_cognito_speaks_as_its_profile_does() {
    let text = "profile = \"oidc\"\naccepted_clients = [\"robots\"]\nkinds = [\"machine\", \"user\"]\n\
                groups_claim = \"realm_access.roles\"\ngroups = [\"staff\"]\nscopes = [\"feed\"]\n";
    let world = World::start(text).await;
    let minted = |claims: Value| {
        world.pool.tamper_access_token(move |d| {
            d.claims.retain(|name, _| ["iss", "sub", "exp", "iat"].contains(&name.as_str()));
            d.claims.extend(claims.as_object().unwrap().clone());
        });
        world.pool.mint_access_token(WEB, "jane", &[])
    };
    let keycloak = |more: Value| {
        let mut claims = json!({ "typ": "Bearer", "azp": "robots", "aud": "account", "scope": "feed admin",
            "realm_access": { "roles": ["staff", "admins"] } });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    };
    for (case, claims, kind) in [
        ("a person", keycloak(json!({ "sid": "s" })), Some("user")),
        ("a service account", keycloak(json!({ "preferred_username": "service-account-robots" })), Some("machine")),
        ("another client", keycloak(json!({ "azp": "other" })), None),
        ("another audience", keycloak(json!({ "aud": "orders" })), None),
        ("an ID token", keycloak(json!({ "typ": "ID", "aud": "robots" })), None),
        ("a refresh token", keycloak(json!({ "typ": "Refresh" })), None),
        ("an ID token that says nothing", json!({ "aud": "robots", "azp": "robots", "nonce": "n" }), None),
    ] {
        let answer = world.named("", &minted(claims)).await;
        let expected = if kind.is_some() { 200 } else { 401 };
        assert_eq!((answer.status, answer.header("x-auth-kind")), (expected, kind), "{case}: {}", answer.body);
        if kind.is_some() {
            assert_eq!((answer.header("x-auth-groups"), answer.header("x-auth-scopes")), (Some("staff"), Some("feed")));
        }
    }
}
