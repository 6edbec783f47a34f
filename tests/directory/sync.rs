//! Bringing the directory up to date with the user pool.

use super::rows::{directory, person};
use super::with_directory_section;
use crate::support::postgres::Postgres;
use crate::support::process::{command, configure};
use auth_api::dev::pool::{Fault, PoolEndpoint, PoolSettings, PoolUser, UserPool};
use auth_api::domain::clock::Timestamp;
use auth_api::domain::person::PersonObservation;
use std::path::Path;
use std::time::Duration;

/// A pool with so many users beside its own, and a configuration for it.
async fn pool(folder: &Path, postgres: &Postgres, users: usize) -> (UserPool, usize) {
    let mut settings = PoolSettings::for_service("http://auth-api.app.localhost:8080");
    let one = |nth: usize| {
        let user = PoolUser::native(&format!("user{nth}"), "Passw0rd!", &format!("sub-{nth}"));
        user.with("email", &format!("user{nth}@example.com"))
            .with("email_verified", "true")
            .with("custom:theme", "dark")
    };
    settings.users.extend((0..users).map(one));
    let all = settings.users.len();
    let pool = UserPool::start(settings).await.unwrap();
    configure(folder, &pool, 8080, 9090);
    with_directory_section(folder, postgres);
    (pool, all)
}

/// Refuses one call, after so many that are answered.
fn refuse_after(pool: &UserPool, answered: usize, code: &str) {
    for _ in 0..answered {
        pool.fault_once(PoolEndpoint::Api, Fault::Delay(Duration::ZERO));
    }
    pool.fault_once(PoolEndpoint::Api, refused(code));
}

/// Exit code, standard output, standard error.
async fn sync(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = command(folder);
    command.args(["users", "sync", "--rate", "1000"]).args(arguments);
    command.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "secret");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn refused(code: &str) -> Fault {
    Fault::Status {
        status: 400,
        content_type: "application/x-amz-json-1.1",
        body: format!("{{\"__type\":\"{code}\",\"message\":\"on purpose\"}}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs postgres"]
async fn everybody_in_the_pool_is_written_down_and_who_left_is_erased() {
    let (folder, postgres) = (tempfile::tempdir().unwrap(), Postgres::start().await);
    let folder = folder.path();
    let (pool, own) = pool(folder, &postgres, 150).await;
    let (code, said, errors) = sync(folder, &["--dry-run"]).await;
    assert_eq!(
        (code, said),
        (0, format!("nothing was written; it would be: {own} new, 0 changed, 0 the same, 0 erased; {own} listed\n")),
        "{errors}"
    );
    assert_eq!(postgres.ask::<i64>("SELECT count(*) FROM people", &[]).await, 0);

    let (code, said, errors) = sync(folder, &[]).await;
    assert_eq!((code, said), (0, format!("{own} new, 0 changed, 0 the same, 0 erased; {own} listed\n")), "{errors}");
    assert!(errors.contains("\"command\":\"users sync\""), "recorded: {errors}");
    let directory = directory(&postgres, &pool.issuer());
    let seventh = directory.by_email("USER7@example.com").await.unwrap().unwrap();
    assert_eq!((seventh.person.sub.as_str(), seventh.last_seen), ("sub-7", None), "nobody was here");
    assert_eq!(seventh.person.attributes["custom:theme"], "dark");
    let gary = "SELECT count(*) FROM people WHERE provider = 'Google' AND NOT email_verified";
    assert_eq!(postgres.ask::<i64>(gary, &[]).await, 1);

    // One has another name, one has left, one is of another issuer, and one is new at the pool.
    pool.edit_user("user7", |user| drop(user.attributes.insert("name".into(), "Seven".into())));
    pool.delete_user("user8");
    let other = self::directory(&postgres, "https://other");
    let there = PersonObservation { person: person("there", None), at: Timestamp::from_secs(1), seen: true };
    other.write(&there).await.unwrap();
    postgres.execute("UPDATE people SET observed = observed - interval '1 hour'").await;
    let (code, said, _) = sync(folder, &["--dry-run"]).await;
    let same = own - 2;
    assert_eq!(
        (code, said),
        (
            0,
            format!(
                "nothing was written; it would be: 0 new, 1 changed, {same} the same, 1 erased; {} listed\n",
                own - 1
            )
        )
    );
    assert!(directory.by_sub("sub-8").await.unwrap().is_some());
    let (code, said, _) = sync(folder, &[]).await;
    assert_eq!((code, said), (0, format!("0 new, 1 changed, {same} the same, 1 erased; {} listed\n", own - 1)));
    assert_eq!(directory.by_sub("sub-7").await.unwrap().unwrap().person.name.as_deref(), Some("Seven"));
    assert_eq!(directory.by_sub("sub-8").await.unwrap(), None);
    assert!(other.by_sub("there").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs postgres"]
async fn a_pool_that_throttles_is_asked_again_and_an_interruption_is_resumed() {
    let (folder, postgres) = (tempfile::tempdir().unwrap(), Postgres::start().await);
    let folder = folder.path();
    let (pool, own) = pool(folder, &postgres, 200).await;
    // The second page is refused once for a good reason: the first is not asked for again.
    refuse_after(&pool, 2, "TooManyRequestsException");
    let (code, said, errors) = sync(folder, &[]).await;
    assert_eq!((code, said.contains(&format!("{own} listed"))), (0, true), "{said} {errors}");

    refuse_after(&pool, 3, "AccessDeniedException");
    let (code, said, errors) = sync(folder, &["--restart"]).await;
    assert_eq!((code, said.as_str()), (2, ""), "{errors}");
    assert!(errors.contains("AccessDeniedException: on purpose. Run it again: it goes on where it was"), "{errors}");
    let listed = postgres.ask::<i64>("SELECT listed FROM synchronisations", &[]).await;
    assert_eq!(listed, 120);
    let before = pool.count(PoolEndpoint::Api);
    let (code, said, errors) = sync(folder, &[]).await;
    assert_eq!((code, said.contains(&format!("{own} listed"))), (0, true), "{said} {errors}");
    // What the pool is, and the pages that were left.
    assert_eq!(pool.count(PoolEndpoint::Api) - before, 1 + (own as u64 - 120).div_ceil(60));
    assert_eq!(postgres.ask::<i64>("SELECT count(*) FROM synchronisations", &[]).await, 0);

    // A page that the pool does not know any more: from the beginning.
    postgres.execute(&format!("INSERT INTO synchronisations VALUES ('{}', now(), 'no page', 60)", pool.issuer())).await;
    let (code, said, errors) = sync(folder, &[]).await;
    assert_eq!((code, said.contains(&format!("{own} listed"))), (0, true), "{said} {errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs postgres"]
async fn without_credentials_or_a_user_pool_it_says_what_is_missing() {
    let (folder, postgres) = (tempfile::tempdir().unwrap(), Postgres::start().await);
    let folder = folder.path();
    let _pool = pool(folder, &postgres, 0).await;
    let mut unsigned = command(folder);
    // No instance to ask for a role either.
    unsigned.args(["users", "sync"]).env("AWS_EC2_METADATA_DISABLED", "true");
    let output = tokio::task::spawn_blocking(move || unsigned.output().unwrap()).await.unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("there are no usable AWS credentials"), "{errors}");

    let toml = std::fs::read_to_string(folder.join("auth-api.toml")).unwrap();
    std::fs::write(folder.join("auth-api.toml"), toml.replace("[provider]", "[provider]\nprofile = \"oidc\"")).unwrap();
    let (code, _, errors) = sync(folder, &[]).await;
    assert!(code == 2 && errors.contains("only Cognito's user pools can be listed"), "{code} {errors}");
}
