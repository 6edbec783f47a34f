//! What programs are told of people, and what nobody else is.

use super::{READ, row, signed_in, site};
use crate::support::postgres::Postgres;
use crate::support::{Answer, Browser, Log, Site};
use reqwest::Method;
use serde_json::{Value, json};

const PROGRAM: (&str, &str) = ("PROVIDER__ACCEPTED_CLIENTS", "dev-machine-client");

async fn ask(site: &Site, token: &str, path: &str) -> Answer {
    Browser::new().send(Method::GET, &site.auth(path), |r| r.bearer_auth(token)).await
}

fn token(site: &Site) -> String {
    site.pool.mint_machine_token("dev-machine-client", &[READ])
}

/// Lets a change be as old as one has to be to be told.
async fn age(postgres: &Postgres) {
    postgres.execute("ALTER TABLE people DISABLE TRIGGER people_updated").await;
    postgres.execute("UPDATE people SET updated = updated - interval '1 minute'").await;
    postgres.execute("ALTER TABLE people ENABLE TRIGGER people_updated").await;
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn a_program_finds_a_person_by_sub_and_by_verified_address() {
    let postgres = Postgres::start().await;
    let site = site(&postgres, &[PROGRAM]).await;
    let jane = signed_in(&site, "jane").await.validate(&site).await.json();
    let gary = signed_in(&site, "gary").await.validate(&site).await.json();
    let (sub, token) = (jane["sub"].as_str().unwrap(), token(&site));
    let found = ask(&site, &token, &format!("/users/{sub}")).await;
    let updated = found.json()["updated"].clone();
    assert!(updated.is_u64());
    let expected =
        json!({ "sub": sub, "username": "jane", "email": "jane@example.com", "groups": [], "updated": updated });
    assert_eq!((found.status, found.json()), (200, expected.clone()));
    assert_eq!(found.header("cache-control"), Some("private, no-cache"));
    for spelling in ["jane@example.com", "Jane%40Example.COM"] {
        let list = ask(&site, &token, &format!("/users?email={spelling}")).await;
        assert_eq!((list.status, list.json()), (200, json!({ "users": [expected] })), "{spelling}");
    }
    // An address that nobody vouches for leads nowhere, and is told to nobody.
    let email = gary["email"].as_str().unwrap();
    assert_eq!(ask(&site, &token, &format!("/users?email={email}")).await.json(), json!({ "users": [] }));
    let told = ask(&site, &token, &format!("/users/{}", gary["sub"].as_str().unwrap())).await.json();
    assert_eq!(told["email"], Value::Null);

    let tag = found.header("etag").unwrap().to_owned();
    let again = async |known: String| {
        let shape = |r: reqwest::RequestBuilder| r.bearer_auth(&token).header("if-none-match", known);
        Browser::new().send(Method::GET, &site.auth(&format!("/users/{sub}")), shape).await
    };
    for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        let unchanged = again(known.clone()).await;
        assert_eq!((unchanged.status, unchanged.body.as_str()), (304, ""), "{known}");
        assert_eq!(unchanged.header("etag"), Some(tag.as_str()));
    }
    postgres.execute("UPDATE people SET groups = '{editors}' WHERE username = 'jane'").await;
    assert_eq!(again(tag).await.json()["groups"], json!(["editors"]));
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn who_is_unknown_and_who_was_erased_are_one_answer() {
    let postgres = Postgres::start().await;
    let site = site(&postgres, &[PROGRAM]).await;
    let sub = signed_in(&site, "jane").await.validate(&site).await.json()["sub"].as_str().unwrap().to_owned();
    assert_eq!(site.rp.erase_person(&sub).await.unwrap().ended.sessions, 1);
    let token = token(&site);
    let body = |answer: &Answer| {
        let mut json = answer.json();
        json.as_object_mut().unwrap().remove("instance");
        (answer.status, json)
    };
    let erased = body(&ask(&site, &token, &format!("/users/{sub}")).await);
    assert_eq!((erased.0, &erased.1["type"]), (404, &json!("urn:auth-api:problem:no-such-user")));
    for other in ["/users/nobody", "/users/%00", "/users/%FF", &format!("/users/{}", "x".repeat(3_000))] {
        assert_eq!(body(&ask(&site, &token, other).await), erased, "{other}");
    }
    assert_eq!(ask(&site, &token, "/users?email=jane@example.com").await.json(), json!({ "users": [] }));
    // Who keeps a copy has to hear of it.
    age(&postgres).await;
    let changes = ask(&site, &token, "/users?updated_since=0").await.json();
    let updated = changes["users"][0]["updated"].clone();
    assert_eq!(changes["users"], json!([{ "sub": sub, "updated": updated, "deleted": true }]));
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn nobody_but_a_program_with_the_scope_is_told_anything() {
    let postgres = Postgres::start().await;
    let site = site(&postgres, &[PROGRAM]).await;
    let jane = signed_in(&site, "jane").await;
    let sub = jane.validate(&site).await.json()["sub"].as_str().unwrap().to_owned();
    let other_scope = site.pool.mint_machine_token("dev-machine-client", &["https://api.example.com/orders.read"]);
    let stranger = site.pool.mint_machine_token("dev-cms-client", &[READ]);
    let of_a_user = secrecy::ExposeSecret::expose_secret(&site.tokens(&jane).await.access).to_owned();
    let with_scope = site.pool.mint_access_token("dev-machine-client", "jane", &[READ]);
    for path in [
        format!("/users/{sub}"),
        "/users/nobody".into(),
        "/users?email=jane@example.com".into(),
        "/users?updated_since=0".into(),
    ] {
        for (token, status, problem) in [
            (&other_scope, 403, "insufficient-scope"),
            (&of_a_user, 403, "insufficient-scope"),
            (&with_scope, 403, "insufficient-scope"),
            (&stranger, 401, "credentials-not-valid"),
            (&"x.y.z".to_owned(), 401, "credentials-not-valid"),
        ] {
            let refused = ask(&site, token, &path).await;
            assert_eq!((refused.status, refused.problem()), (status, problem.to_owned()), "{path}: {token}");
            assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer"));
            assert!(!refused.body.contains("jane@"), "{}", refused.body);
        }
        // A browser's cookie counts for nothing here.
        assert_eq!(jane.get(&site.auth(&path)).await.status, 401, "{path}");
    }
    let token = token(&site);
    let twice = |r: reqwest::RequestBuilder| r.bearer_auth(&token).header("authorization", "Bearer x");
    assert_eq!(Browser::new().send(Method::GET, &site.auth("/users/x"), twice).await.status, 401);
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        assert_eq!(Browser::new().send(method, &site.auth("/users"), |r| r.bearer_auth(&token)).await.status, 405);
    }
    for query in [
        "",
        "?",
        "?email=jane",
        "?email=",
        "?updated_since=x",
        "?cursor=!",
        "?email=a@b&email=c@d",
        "?group=x",
        "?email=a@b&cursor=x",
    ] {
        let refused = ask(&site, &token, &format!("/users{query}")).await;
        assert_eq!((refused.status, refused.problem()), (400, "invalid-query".into()), "{query}");
    }
    // Without a scope in the configuration nobody may, and without a database there is nothing.
    let bare = Site::with(&[PROGRAM]).await;
    let token = bare.pool.mint_machine_token("dev-machine-client", &[READ]);
    assert_eq!(ask(&bare, &token, "/users/x").await.problem(), "not-offered");
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn changes_are_followed_by_a_cursor_page_by_page() {
    let postgres = Postgres::start().await;
    let site = site(&postgres, &[PROGRAM, ("DIRECTORY__FIELDS", "username")]).await;
    signed_in(&site, "jane").await;
    let issuer = site.pool.issuer();
    let fill = format!(
        "INSERT INTO people (issuer, sub, username, created, observed)
         SELECT '{issuer}', 'sub ' || n, '', now(), now() FROM generate_series(1, 229) n"
    );
    postgres.execute(&fill).await;
    age(&postgres).await;
    let token = token(&site);
    let (mut path, mut subs, mut pages) =
        ("/users?updated_since=1".to_owned(), std::collections::BTreeSet::new(), vec![]);
    loop {
        let page = ask(&site, &token, &path).await.json();
        let users = page["users"].as_array().unwrap();
        pages.push(users.len());
        subs.extend(users.iter().map(|user| user["sub"].as_str().unwrap().to_owned()));
        path = format!("/users?cursor={}", page["cursor"].as_str().unwrap());
        if page["more"] == false {
            break;
        }
    }
    assert_eq!((pages, subs.len()), (vec![100, 100, 30], 230));
    // Later, from where it was.
    let rest = ask(&site, &token, &path).await;
    assert_eq!(rest.json()["users"], json!([]));
    postgres.execute("UPDATE people SET username = 'new' WHERE sub = 'sub 7'").await;
    postgres.execute("ALTER TABLE people DISABLE TRIGGER people_updated").await;
    postgres.execute("UPDATE people SET updated = now() - interval '10 seconds' WHERE sub = 'sub 7'").await;
    let changed =
        ask(&site, &token, &format!("/users?cursor={}", rest.json()["cursor"].as_str().unwrap())).await.json();
    assert_eq!((&changed["users"][0]["sub"], changed["users"].as_array().unwrap().len()), (&json!("sub 7"), 1));
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn a_program_that_asks_too_often_is_told_when_to_come_back() {
    let postgres = Postgres::start().await;
    let site = site(&postgres, &[PROGRAM, ("DIRECTORY__REQUESTS_PER_SECOND", "1")]).await;
    let token = token(&site);
    let mut answers = vec![];
    for _ in 0..5 {
        answers.push(ask(&site, &token, "/users/nobody").await);
    }
    assert_eq!(answers[0].status, 404);
    let late = answers.iter().find(|answer| answer.status == 429).expect("five take less than five seconds");
    assert_eq!((late.problem(), late.header("retry-after")), ("too-many-requests".to_owned(), Some("1")));
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn each_read_is_recorded_and_no_query_is_in_a_log() {
    let postgres = Postgres::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let to_file = file.display().to_string();
    let site = site(&postgres, &[PROGRAM, ("TELEMETRY__AUDIT", &to_file), ("TELEMETRY__ACCESS_LOG", "true")]).await;
    signed_in(&site, "jane").await;
    age(&postgres).await;
    let (token, log) = (token(&site), Log::capture());
    for path in ["/users?email=jane@example.com", "/users?updated_since=5", "/users/nobody", "/users?email=j%40x&bad=1"]
    {
        ask(&site, &token, path).await;
    }
    let user = site.pool.mint_access_token("dev-machine-client", "jane", &[READ]);
    assert_eq!(ask(&site, &user, "/users?email=jane@example.com").await.status, 403);
    let text = log.text();
    assert!(text.contains("/users") && !text.contains("example.com") && !text.contains("updated_since="), "{text}");
    site.rp.audit.flush();
    let records: Vec<Value> =
        std::fs::read_to_string(&file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reads: Vec<_> = records.iter().filter(|record| record["event"] == "directory_read").collect();
    let of = |record: &Value| (record["client"].clone(), record["about"].clone(), record["users"].clone());
    let client = json!("dev-machine-client");
    assert_eq!(
        reads.into_iter().map(of).collect::<Vec<_>>(),
        [
            (client.clone(), json!("jane@example.com"), json!(1)),
            (client.clone(), Value::Null, json!(1)),
            (client, json!("nobody"), json!(0)),
        ]
    );
    assert!(records.iter().any(|record| record["event"] == "denied"));
    assert_eq!(row(&postgres, "jane").await["email_verified"], true);
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn a_database_that_is_away_is_a_503_and_validates_go_on() {
    let mut postgres = Postgres::start().await;
    let site = site(&postgres, &[PROGRAM]).await;
    let jane = signed_in(&site, "jane").await;
    postgres.kill();
    let token = token(&site);
    for path in ["/users/x", "/users?email=a@b", "/users?updated_since=0"] {
        let away = ask(&site, &token, path).await;
        assert_eq!((away.status, away.problem()), (503, "directory-unavailable".into()), "{path}");
        assert!(away.header("retry-after").is_some() && !away.body.contains("127.0.0.1"), "{}", away.body);
    }
    assert_eq!(jane.validate(&site).await.status, 200);
}
