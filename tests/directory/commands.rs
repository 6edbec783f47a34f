//! What operators do with the directory, beside a running service and without one; and what other programs may read there.

use super::with_directory_section;
use crate::support::Browser;
use crate::support::postgres::Postgres;
use crate::support::process::{Service, run, serve, sign_in, spawn};
use auth_api::dev::pool::UserPool;
use serde_json::Value;
use std::path::Path;

/// Exit code, standard output, standard error.
fn ask(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = run(folder, arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

async fn with_directory(folder: &Path, postgres: &Postgres) -> (Service, UserPool) {
    let (service, pool) = serve(folder).await;
    let port = |url: &str| url.rsplit(':').next().unwrap().parse().unwrap();
    let (public, ops) = (service.port(), port(&service.ops));
    drop(service);
    with_directory_section(folder, postgres);
    (spawn(folder, public, ops).expect("it starts with a directory"), pool)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs postgres"]
async fn a_person_is_shown_exported_and_erased() {
    let (folder, postgres) = (tempfile::tempdir().unwrap(), Postgres::start().await);
    let folder = folder.path();
    let (service, _pool) = with_directory(folder, &postgres).await;
    let jane = Browser::new();
    sign_in(&service, &jane).await;
    let sub = jane.get(&format!("{}/validate", service.url)).await.json()["sub"].as_str().unwrap().to_owned();

    let (code, shown, _) = ask(folder, &["users", "show", "--email", "JANE@example.com"]);
    assert_eq!(code, 0, "{shown}");
    for line in
        [&*format!("sub                   {sub}"), "email                 jane@example.com", "custom:legacy_id      42"]
    {
        assert!(shown.lines().any(|shown| shown == line), "{line} in\n{shown}");
    }
    let (code, exported, _) = ask(folder, &["users", "export", "--sub", &sub]);
    let exported: Value = serde_json::from_str(&exported).unwrap();
    assert_eq!(
        (code, &exported["user"]["name"], &exported["user"]["sub"]),
        (0, &"Jane Doe".into(), &sub.as_str().into())
    );
    assert_eq!(exported["sessions"].as_array().unwrap().len(), 1);
    let (code, nothing, said) = ask(folder, &["users", "show", "--sub", "no\u{1b}body"]);
    assert_eq!((code, nothing.as_str()), (1, ""), "{said}");
    assert!(said.contains("is not in the directory") && !said.contains('\u{1b}'), "{said}");

    let (code, erased, _) = ask(folder, &["users", "erase", "--sub", &sub]);
    assert_eq!((code, erased), (0, format!("{sub} erased; 1 sessions ended\n")));
    assert_eq!(jane.get(&format!("{}/validate", service.url)).await.status, 401);
    assert_eq!(ask(folder, &["users", "show", "--sub", &sub]).0, 1);
    let (code, again, _) = ask(folder, &["users", "erase", "--sub", &sub]);
    assert_eq!((code, again), (0, format!("{sub} not in the directory; 0 sessions ended\n")));
    // Without the service.
    drop(service);
    assert_eq!(ask(folder, &["users", "export", "--sub", &sub]).0, 1);
}

#[test]
fn without_a_directory_the_commands_say_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let toml = "server.public_url = \"https://a.example.com\"\nsession.store = \"memory:\"\n[provider]\nissuer = \"https://issuer.example.com\"\nprofile = \"oidc\"\nclient_id = \"x\"\n[cookies]\nkeys = [\"0123456789 of a key for this test 9876543210\"]\n";
    std::fs::write(folder.path().join("auth-api.toml"), toml).unwrap();
    let (code, _, said) = ask(folder.path(), &["users", "show", "--sub", "x"]);
    assert!(code == 2 && said.contains("directory.url is not set"), "{code} {said}");
    // What is only in a running service's memory cannot be ended from outside.
    let (code, _, said) = ask(folder.path(), &["users", "erase", "--sub", "x"]);
    assert!(code == 2 && said.contains("memory:"), "{code} {said}");
}

/// The statements that the guide gives an operator make a role that sees the view and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs postgres"]
async fn the_role_of_the_guide_reads_the_view_and_nothing_else() {
    let (folder, postgres) = (tempfile::tempdir().unwrap(), Postgres::start().await);
    let (service, _pool) = with_directory(folder.path(), &postgres).await;
    let jane = Browser::new();
    sign_in(&service, &jane).await;
    let guide = include_str!("../../src/guide/directory.md");
    let block = |nth: usize| guide.split("```sql\n").nth(nth).unwrap().split("```").next().unwrap();
    postgres.execute(block(1)).await;
    let cms = postgres.connection().await;
    cms.batch_execute(
        "CREATE TABLE IF NOT EXISTS articles (title text, author_sub text); GRANT SELECT ON articles TO cms",
    )
    .await
    .unwrap();
    let sub = jane.get(&format!("{}/validate", service.url)).await.json()["sub"].as_str().unwrap().to_owned();
    cms.execute("INSERT INTO articles VALUES ('One cookie', $1), ('Of somebody else', 'x')", &[&sub]).await.unwrap();
    cms.batch_execute("SET ROLE cms").await.unwrap();
    let rows = cms
        .query(
            &block(2).replace("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI", &_pool.issuer()),
            &[],
        )
        .await
        .unwrap();
    let read: Vec<(String, Option<String>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(read, [("Of somebody else".to_owned(), None), ("One cookie".to_owned(), Some("Jane Doe".to_owned()))]);
    for refused in [
        "SELECT * FROM people",
        "UPDATE directory SET name = 'x'",
        "DELETE FROM directory",
        "SELECT * FROM directory_migrations",
    ] {
        let error = cms.batch_execute(refused).await.unwrap_err();
        assert!(error.as_db_error().unwrap().message().starts_with("permission denied"), "{refused}: {error}");
    }
}
