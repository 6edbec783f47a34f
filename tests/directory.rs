//! People in a database of one's own: written down when they sign in and change, found by programs and operators, forgotten
//! when they have to be.

mod api;
mod commands;
mod events;
mod rows;
mod sync;

use crate::support::postgres::Postgres;
use crate::support::{Browser, Log, Site, until};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

const READ: &str = "https://api.example.com/users.read";

/// The service with a directory in a database.
async fn site(postgres: &Postgres, configuration: &[(&str, &str)]) -> Site {
    let address = postgres.address();
    let all = [
        ("DIRECTORY__URL", address.as_str()),
        ("DIRECTORY__TIMEOUT", "2s"),
        ("DIRECTORY__SCOPE", READ),
        ("PROVIDER__SCOPES", "openid,email,profile,aws.cognito.signin.user.admin"),
        ("ACCOUNT__WRITABLE", "name"),
    ];
    Site::with(&[&all, configuration].concat()).await
}

/// Adds the directory to the configuration of a service of its own.
fn with_directory_section(folder: &Path, postgres: &Postgres) {
    let mut toml = std::fs::OpenOptions::new().append(true).open(folder.join("auth-api.toml")).unwrap();
    write!(toml, "[directory]\nurl = \"{}\"\ntimeout = \"2s\"\n", postgres.address()).unwrap();
}

/// A row of the table, by the name of the user; null if there is none.
async fn row(postgres: &Postgres, username: &str) -> Value {
    let statement = "SELECT coalesce((SELECT to_jsonb(p) FROM people p WHERE username = $1)::text, 'null')";
    serde_json::from_str(&postgres.ask::<String>(statement, &[&username]).await).unwrap()
}

async fn signed_in(site: &Site, user: &str) -> Browser {
    let browser = Browser::new();
    assert_eq!(browser.sign_in(site, user).await.status, 302);
    browser
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn who_signs_in_is_in_the_table_before_the_first_page() {
    let postgres = Postgres::start().await;
    let site = site(&postgres, &[]).await;
    let jane = signed_in(&site, "jane").await;
    let row_of_jane = row(&postgres, "jane").await;
    let who = jane.validate(&site).await.json();
    for (column, value) in [
        ("issuer", json!(site.pool.issuer())),
        ("sub", who["sub"].clone()),
        ("email", json!("jane@example.com")),
        ("email_verified", json!(true)),
        ("name", json!("Jane Doe")),
        ("groups", json!([])),
        ("provider", json!("COGNITO")),
        ("legacy_id", json!("42")),
        ("attributes", json!({ "custom:legacy_id": "42" })),
        ("deleted", Value::Null),
    ] {
        assert_eq!(row_of_jane[column], value, "{column}: {row_of_jane}");
    }
    assert_eq!(row_of_jane["last_seen"], row_of_jane["created"]);
    let tokens = site.tokens(&jane).await;
    let text = row_of_jane.to_string();
    assert!(!text.contains("eyJ") && !text.contains(secrecy::ExposeSecret::expose_secret(&tokens.access)), "{text}");

    signed_in(&site, "erin").await;
    assert_eq!(row(&postgres, "erin").await["groups"], json!(["editors", "admins"]));
    let gary = signed_in(&site, "gary").await.validate(&site).await.json();
    let row_of_gary = row(&postgres, gary["username"].as_str().unwrap()).await;
    assert_eq!((&row_of_gary["provider"], &row_of_gary["email_verified"]), (&json!("Google"), &json!(false)));
    // Applications see addresses that somebody vouches for, and nothing that is not for them.
    let seen = "SELECT count(*) FROM directory WHERE email IS NOT NULL";
    assert_eq!(postgres.ask::<i64>(seen, &[]).await, 2);
    assert_eq!(site.metric("auth_api_directory_writes_total{outcome=\"written\"}").await, 3);
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn changes_of_a_profile_and_renewals_are_written() {
    let postgres = Postgres::start().await;
    let site = site(&postgres, &[]).await;
    let jane = signed_in(&site, "jane").await;
    let first = row(&postgres, "jane").await;
    site.pass(60);
    let change =
        |r: reqwest::RequestBuilder| r.header("content-type", "application/json").body(r#"{"name":"Jane Roe"}"#);
    assert_eq!(jane.send(Method::PATCH, &site.auth("/auth/profile"), change).await.status, 200);
    let changed = row(&postgres, "jane").await;
    assert_eq!(changed["name"], "Jane Roe");
    // The pool tells more than a token does.
    assert!(changed["attributes"].as_object().unwrap().len() >= first["attributes"].as_object().unwrap().len());
    assert_eq!(changed["created"], first["created"]);
    assert_ne!((&changed["updated"], &changed["last_seen"]), (&first["updated"], &first["last_seen"]));

    site.pool.edit_user("jane", |user| {
        user.attributes.insert("name".into(), "Jane Poe".into());
        user.groups = vec!["editors".into()];
    });
    site.pass(60);
    assert_eq!(jane.post(&site.auth("/refresh"), &[("force", "true")]).await.status, 200);
    assert_eq!(jane.post(&site.auth("/refresh?force=true"), &[]).await.status, 200);
    until("the renewal is written", async || row(&postgres, "jane").await["name"] == "Jane Poe").await;
    assert_eq!(row(&postgres, "jane").await["groups"], json!(["editors"]));
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn a_database_that_is_away_keeps_nobody_out_and_is_caught_up_with() {
    let mut postgres = Postgres::start().await;
    let site = site(&postgres, &[]).await;
    postgres.kill();
    let log = Log::capture();
    signed_in(&site, "jane").await;
    signed_in(&site, "erin").await;
    assert_eq!(log.text().matches("directory write failed").count(), 1, "said once: {}", log.text());
    let ready = Browser::new().get(&format!("{}/readyz", site.ops_url)).await;
    assert_eq!(ready.status, 200, "sign-ins work: {}", ready.body);
    assert!(ready.json()["degraded"]["directory"].as_str().unwrap().contains("2 wait"), "{}", ready.body);
    assert_eq!(site.metric("auth_api_directory_waiting").await, 2);
    assert_eq!(site.metric("auth_api_degraded{component=\"directory\"}").await, 1);
    assert!(postgres.up().await);
    until("all are written", async || site.metric("auth_api_directory_waiting").await == 0).await;
    assert_eq!(
        (&row(&postgres, "jane").await["name"], &row(&postgres, "erin").await["name"]),
        (&json!("Jane Doe"), &json!("Erin Editor"))
    );
    let ready = Browser::new().get(&format!("{}/readyz", site.ops_url)).await;
    assert_eq!(ready.json()["degraded"], json!({}));
    assert_eq!(site.metric("auth_api_directory_writes_total{outcome=\"dropped\"}").await, 0);
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn a_database_that_hangs_holds_a_sign_in_up_for_its_time_at_most_and_the_next_not_at_all() {
    let postgres = Postgres::start().await;
    let site = site(&postgres, &[("DIRECTORY__TIMEOUT", "200ms")]).await;
    signed_in(&site, "jane").await;
    let mut locking = postgres.connection().await;
    let lock = locking.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE people").await.unwrap();
    signed_in(&site, "erin").await;
    assert_eq!(site.metric("auth_api_directory_waiting").await, 1);
    signed_in(&site, "gary").await;
    assert_eq!(site.metric("auth_api_directory_waiting").await, 2);
    lock.commit().await.unwrap();
    until("all are written", async || site.metric("auth_api_directory_waiting").await == 0).await;
    assert_eq!(row(&postgres, "erin").await["name"], "Erin Editor");
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn the_cms_shows_who_wrote_what_by_the_name_of_now() {
    let postgres = Postgres::start().await;
    let site = site(&postgres, &[]).await;
    let jane = signed_in(&site, "jane").await;
    let own = |r: reqwest::RequestBuilder| {
        r.header("origin", site.cms_url.as_str()).form(&[("text", " <b>Well</b> said.\nReally. ")])
    };
    let comments = site.cms("/articles/one-cookie/comments");
    let posted = jane.send(Method::POST, &comments, own).await;
    assert_eq!((posted.status, posted.location()), (303, site.cms("/articles/one-cookie")));
    let page = jane.get(&site.cms("/articles/one-cookie")).await.body;
    assert!(page.contains("Jane Doe</strong>") && page.contains("&#60;b&#62;Well"), "{page}");
    postgres.execute("UPDATE people SET name = 'Jane Roe'").await;
    assert!(jane.get(&site.cms("/articles/one-cookie")).await.body.contains("Jane Roe</strong>"));
    let people = jane.get(&site.cms("/people")).await.body;
    assert!(people.contains("<th scope=\"row\">Jane Roe</th>") && people.contains("jane@example.com"), "{people}");
    // Another site's page posts nothing, nor does a stranger.
    let foreign = |r: reqwest::RequestBuilder| r.header("origin", "https://evil.example").form(&[("text", "x")]);
    assert_eq!(jane.send(Method::POST, &comments, foreign).await.status, 400);
    assert_eq!(Browser::new().send(Method::POST, &comments, own).await.status, 302);
    assert_eq!(Browser::new().get(&site.cms("/people")).await.status, 302);
    // Who was erased has written all the same.
    let sub = jane.validate(&site).await.json()["sub"].as_str().unwrap().to_owned();
    assert!(site.rp.erase_person(&sub).await.unwrap().was_known);
    let erin = signed_in(&site, "erin").await;
    assert!(erin.get(&site.cms("/articles/one-cookie")).await.body.contains("somebody who has left"));
    // Without a database there is nothing of it.
    let bare = Site::start().await;
    let jane = signed_in(&bare, "jane").await;
    let page = jane.get(&bare.cms("/articles/one-cookie")).await.body;
    assert!(!page.contains("omment") && !page.contains("/people"), "{page}");
    assert_eq!(jane.get(&bare.cms("/people")).await.status, 404);
}
