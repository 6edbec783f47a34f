//! What is ended from elsewhere, by the user, the provider or an operator, is over at all processes.

use super::{Fleet, PATIENT, at};
use crate::support::Browser;
use crate::support::redis::Redis;
use reqwest::Method;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn sessions_are_listed_and_ended_at_any_process() {
    let redis = Redis::start().await;
    let fleet = Fleet::with(2, &at(&redis), &[PATIENT]).await;
    let (jane, phone, tablet) = (fleet.sign_in("jane").await, fleet.sign_in("jane").await, fleet.sign_in("jane").await);
    let erin = fleet.sign_in("erin").await;
    for browser in [&jane, &phone, &tablet, &erin] {
        fleet.all_say("everybody is known", 200, browser).await;
    }
    let own = async |browser: &Browser| {
        let listed = fleet.ask(1, browser, Method::GET, "/auth/sessions").await.json();
        let listed = listed["sessions"].as_array().unwrap().clone();
        assert_eq!(listed.len(), 3);
        let mine = listed.iter().find(|item| item["current"] == true).unwrap();
        mine["handle"].as_str().unwrap().to_owned()
    };
    let path = format!("/auth/sessions/{}", own(&phone).await);
    assert_eq!(fleet.ask(1, &jane, Method::DELETE, &path).await.status, 204);
    fleet.all_say("it is over", 401, &phone).await;
    fleet.all_say("the others are not", 200, &tablet).await;
    assert_eq!(fleet.ask(1, &jane, Method::POST, "/auth/signout?everywhere=true").await.status, 303);
    for browser in [&jane, &tablet] {
        fleet.all_say("all of hers are over", 401, browser).await;
    }
    fleet.all_say("nobody else's", 200, &erin).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_logout_token_counts_once_for_all_processes() {
    let redis = Redis::start().await;
    let fleet = Fleet::with(2, &at(&redis), &[PATIENT]).await;
    let token = fleet.pool.mint_logout_token("dev-web-client", "jane", |_| ());
    let tell = async |nth: usize| {
        let url = format!("http://127.0.0.1:{}/auth/backchannel-logout", fleet.services[nth].port());
        Browser::new().post(&url, &[("logout_token", &token)]).await.status
    };
    let jane = fleet.sign_in("jane").await;
    fleet.all_say("she is known", 200, &jane).await;
    assert_eq!(tell(0).await, 200);
    fleet.all_say("she is signed out", 401, &jane).await;
    let again = fleet.sign_in("jane").await;
    assert_eq!((tell(1).await, tell(0).await), (400, 400), "used up");
    fleet.all_say("and may sign in again", 200, &again).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn an_operator_ends_sessions_beside_the_running_processes() {
    let redis = Redis::start().await;
    let fleet = Fleet::with(2, &at(&redis), &[PATIENT]).await;
    let (jane, erin) = (fleet.sign_in("jane").await, fleet.sign_in("erin").await);
    fleet.all_say("she is known", 200, &jane).await;
    let known = fleet.ask(0, &jane, Method::GET, "/validate").await.json();
    let sub = known["sub"].as_str().unwrap();
    let ask = |what: &str| {
        let output = fleet.command().args(["sessions", what, "--sub", sub]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(ask("list").lines().count(), 2);
    assert_eq!(ask("end"), "1 session ended\n");
    fleet.all_say("she is signed out", 401, &jane).await;
    fleet.all_say("nobody else is", 200, &erin).await;
    assert_eq!(fleet.pool.live_refresh_tokens(), 1, "revoked at the provider");
    assert!(ask("list").contains("has no sessions"));
}
