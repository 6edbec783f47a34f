//! Keycloak's access tokens as bearers, and its service accounts through the broker.

use super::{PROGRAMS, Pair, claims};
use crate::real::steps::{a_programs_token_is_known_until_it_is_revoked, bearer, tokens};
use crate::support::Answer;
use reqwest::Method;
use serde_json::json;

const OWN: [(&str, &str); 1] = [("grant_type", "client_credentials")];

fn access(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
#[ignore = "needs keycloak"]
async fn bearers_of_a_user_and_of_a_service_account_are_known_with_the_defaults() {
    let pair = Pair::start(&[PROGRAMS], &[]).await;
    let erin = pair.signed_in("erin").await;
    let token = tokens(&pair.site, &erin).await.access;
    assert_eq!(claims(&token)["aud"], "account", "the default audience");
    let known = bearer(&pair.site, &token).await;
    assert_eq!((known.status, known.header("x-auth-kind")), (200, Some("user")), "{known:?}");
    assert_eq!(known.json()["sub"], erin.validate(&pair.site).await.json()["sub"]);

    pair.realm.register_program("reports", "secret-of-reports", "reports.read").await;
    pair.realm.register_program("stranger", "secret-of-stranger", "other").await;
    for client in ["auth-api", "reports"] {
        let known = bearer(&pair.site, &access(&pair.ask(client, &OWN).await)).await;
        assert_eq!((known.status, known.header("x-auth-kind")), (200, Some("machine")), "{client}: {known:?}");
        assert_eq!(known.header("x-auth-client-id"), Some(client));
    }
    let strange = access(&pair.ask("stranger", &OWN).await);
    assert_eq!(bearer(&pair.site, &strange).await.status, 401, "a client that nobody accepted");
}

#[tokio::test]
#[ignore = "needs keycloak"]
async fn a_token_that_is_for_an_api_as_well_is_refused() {
    let pair = Pair::start(&[], &[]).await;
    let orders = json!({ "clientId": "orders", "publicClient": true });
    let orders = pair.realm.administer(Method::POST, "clients", Some(orders)).await;
    let orders = orders.header("location").unwrap().rsplit('/').next().unwrap().to_owned();
    let roles = format!("clients/{orders}/roles");
    pair.realm.administer(Method::POST, &roles, Some(json!({ "name": "buyer" }))).await;
    let role = pair.realm.administer(Method::GET, &format!("{roles}/buyer"), None).await.json();
    let mappings = format!("{}/role-mappings/clients/{orders}", pair.realm.user("erin").await);
    pair.realm.administer(Method::POST, &mappings, Some(json!([role]))).await;

    let erin = pair.signed_in("erin").await;
    let token = tokens(&pair.site, &erin).await.access;
    assert_eq!(claims(&token)["aud"], json!(["orders", "account"]));
    assert_eq!(bearer(&pair.site, &token).await.status, 401);
    assert_eq!(erin.validate(&pair.site).await.status, 200, "her session has nothing to do with it");
}

#[tokio::test]
#[ignore = "needs keycloak"]
async fn programs_get_introspect_and_revoke_tokens_of_a_service_account() {
    let pair = Pair::start(&[PROGRAMS], &[]).await;
    pair.realm.register_program("reports", "secret-of-reports", "reports.read").await;
    a_programs_token_is_known_until_it_is_revoked(&pair.site, "email profile reports.read").await;
}
