//! Keycloak's access tokens as bearers, and its service accounts through the broker.

use super::{PROGRAMS, Pair, claims};
use crate::real::guides::PROGRAM_SECRET;
use crate::support::{Answer, Browser};
use reqwest::Method;
use serde_json::json;

const OWN: [(&str, &str); 1] = [("grant_type", "client_credentials")];

/// Something that the program of the guide asks us.
async fn ask(pair: &Pair, path: &str, form: &[(&str, &str)]) -> Answer {
    let shape = |r: reqwest::RequestBuilder| r.basic_auth("nightly-report", Some(PROGRAM_SECRET)).form(form);
    Browser::new().send(Method::POST, &pair.site.auth(path), shape).await
}

fn access(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn bearers_of_a_user_and_of_a_service_account_are_known_with_the_defaults() {
    let Some(pair) = Pair::start(&[PROGRAMS], &[]).await else { return };
    let erin = pair.signed_in("erin").await;
    let [token, _] = pair.tokens(&erin).await;
    assert_eq!(claims(&token)["aud"], "account", "the default audience");
    let known = pair.bearer(&token).await;
    assert_eq!((known.status, known.header("x-auth-kind")), (200, Some("user")), "{known:?}");
    assert_eq!(known.json()["sub"], erin.validate(&pair.site).await.json()["sub"]);

    pair.realm.register_program("reports", "secret-of-reports", "reports.read").await;
    pair.realm.register_program("stranger", "secret-of-stranger", "other").await;
    for client in ["auth-api", "reports"] {
        let known = pair.bearer(&access(&pair.ask(client, &OWN).await)).await;
        assert_eq!((known.status, known.header("x-auth-kind")), (200, Some("machine")), "{client}: {known:?}");
        assert_eq!(known.header("x-auth-client-id"), Some(client));
    }
    let strange = access(&pair.ask("stranger", &OWN).await);
    assert_eq!(pair.bearer(&strange).await.status, 401, "a client that nobody accepted");
}

#[tokio::test]
async fn a_token_that_is_for_an_api_as_well_is_refused() {
    let Some(pair) = Pair::start(&[], &[]).await else { return };
    let orders = json!({ "clientId": "orders", "publicClient": true });
    let orders = pair.realm.administer(Method::POST, "clients", Some(orders)).await;
    let orders = orders.header("location").unwrap().rsplit('/').next().unwrap().to_owned();
    let roles = format!("clients/{orders}/roles");
    pair.realm.administer(Method::POST, &roles, Some(json!({ "name": "buyer" }))).await;
    let role = pair.realm.administer(Method::GET, &format!("{roles}/buyer"), None).await.json();
    let mappings = format!("{}/role-mappings/clients/{orders}", pair.realm.user("erin").await);
    pair.realm.administer(Method::POST, &mappings, Some(json!([role]))).await;

    let erin = pair.signed_in("erin").await;
    let [token, _] = pair.tokens(&erin).await;
    assert_eq!(claims(&token)["aud"], json!(["orders", "account"]));
    assert_eq!(pair.bearer(&token).await.status, 401);
    assert_eq!(erin.validate(&pair.site).await.status, 200, "her session has nothing to do with it");
}

#[tokio::test]
async fn programs_get_introspect_and_revoke_tokens_of_a_service_account() {
    let Some(pair) = Pair::start(&[PROGRAMS], &[]).await else { return };
    pair.realm.register_program("reports", "secret-of-reports", "reports.read").await;
    let granted = ask(&pair, "/token", &OWN).await;
    let token = access(&granted);
    assert_eq!(granted.json()["scope"], "email profile reports.read", "{granted:?}");
    let again = ask(&pair, "/token", &[OWN[0], ("scope", "reports.read")]).await;
    assert_eq!(access(&again), token, "fetched once");

    let known = pair.bearer(&token).await;
    assert_eq!((known.status, known.header("x-auth-kind")), (200, Some("machine")), "{known:?}");
    assert_eq!(known.header("x-auth-client-id"), Some("reports"));
    let told = ask(&pair, "/introspect", &[("token", &token)]).await.json();
    assert_eq!((&told["active"], &told["client_id"]), (&json!(true), &json!("reports")), "{told:#}");

    assert_eq!(ask(&pair, "/revoke", &[("token", &token)]).await.status, 200);
    assert_eq!(ask(&pair, "/introspect", &[("token", &token)]).await.json(), json!({ "active": false }));
    assert_eq!(pair.bearer(&token).await.status, 401);
    assert_ne!(access(&ask(&pair, "/token", &OWN).await), token, "it is handed out to nobody");
}
