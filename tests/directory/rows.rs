//! What a row becomes, whatever is learned in which order.

use crate::support::postgres::{Postgres, url};
use crate::support::{Log, at};
use auth_api::config::{DirectoryConfig, PostgresServers, PostgresTls};
use auth_api::directory::{ChangePosition, Directory, Error, RowChange};
use auth_api::domain::clock::{ShiftedClock, SystemClock};
use auth_api::domain::person::{Person, PersonObservation};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;

fn config(postgres: &Postgres) -> DirectoryConfig {
    let url = Some(url(PostgresServers::Network(vec![postgres.at()], PostgresTls::Off)));
    let timeout = Duration::from_secs(10);
    DirectoryConfig { url, timeout, scope: None, fields: vec![], trigger_keys: vec![], requests_per_second: 1 }
}

pub(super) fn directory(postgres: &Postgres, issuer: &str) -> Directory {
    let clock = Arc::new(SystemClock);
    Directory::open(&config(postgres), issuer, clock, Arc::default()).unwrap().unwrap()
}

/// Somebody with an address.
pub(super) fn person(sub: &str, email: Option<&str>) -> Person {
    Person {
        sub: sub.to_owned(),
        username: format!("user-{sub}"),
        email: email.map(str::to_owned),
        email_verified: Some(email.is_some()),
        name: Some(format!("Name of {sub}")),
        groups: Some(vec!["readers".to_owned()]),
        provider: Some("COGNITO".to_owned()),
        attributes: [("custom:theme".to_owned(), "dark".to_owned())].into(),
        is_complete: false,
    }
}

fn seen(person: Person, second: u64) -> PersonObservation {
    PersonObservation { person, at: at(second), seen: true }
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn what_was_learned_earlier_changes_nothing_and_a_partial_source_keeps_the_rest() {
    let postgres = Postgres::start().await;
    let directory = directory(&postgres, "https://issuer");
    directory.write(&seen(person("a", Some("a@x")), 100)).await.unwrap();
    let first = directory.by_sub("a").await.unwrap().unwrap();
    assert_eq!((first.created, first.last_seen), (at(100), Some(at(100))));

    let renamed = Person { name: Some("Other".into()), ..person("a", Some("other@x")) };
    assert_eq!(directory.write(&seen(renamed, 99)).await.unwrap(), RowChange::Same);
    assert_eq!(directory.by_sub("a").await.unwrap().unwrap(), first, "it came late");

    // A token that lacks a claim does not say that there is none.
    let partial = Person {
        email: None,
        email_verified: Some(false),
        name: None,
        groups: None,
        provider: None,
        attributes: [].into(),
        ..person("a", None)
    };
    directory.write(&seen(partial.clone(), 101)).await.unwrap();
    let kept = directory.by_sub("a").await.unwrap().unwrap();
    assert_eq!((&kept.person, kept.updated, kept.last_seen), (&first.person, first.updated, Some(at(101))));
    // The pool tells all.
    let complete = Person { is_complete: true, ..partial };
    directory.write(&PersonObservation { seen: false, ..seen(complete, 102) }).await.unwrap();
    let now = directory.by_sub("a").await.unwrap().unwrap();
    assert_eq!((now.person.email, now.person.name, now.person.attributes.len()), (None, None, 0));
    assert_eq!(now.person.groups, Some(vec!["readers".to_owned()]), "which it does not tell");
    assert_eq!(now.last_seen, Some(at(101)), "nobody was here");
    // Of other issuers nothing is known.
    assert_eq!(self::directory(&postgres, "https://other").by_sub("a").await.unwrap(), None);
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn a_verified_address_is_the_one_s_who_was_vouched_for_last() {
    let postgres = Postgres::start().await;
    let directory = directory(&postgres, "https://issuer");
    let log = Log::capture();
    assert_eq!(directory.write(&seen(person("a", Some("Mail@X")), 100)).await.unwrap(), RowChange::New);
    assert!(!log.text().contains("moved"));
    assert_eq!(directory.write(&seen(person("b", Some("mail@x")), 101)).await.unwrap(), RowChange::New);
    assert!(log.text().contains("verified address moved to another person sub=b former=a"), "{}", log.text());
    assert_eq!(directory.by_email("MAIL@x").await.unwrap().unwrap().person.sub, "b");
    assert_eq!(directory.by_sub("a").await.unwrap().unwrap().person.email_verified, Some(false));
    // What is older than the other's does not take it back.
    directory.write(&seen(person("c", Some("mail@x")), 100)).await.unwrap();
    assert_eq!(directory.by_email("mail@x").await.unwrap().unwrap().person.sub, "b");
    // Nor does anybody whom nobody vouches for.
    let unverified = Person { email_verified: Some(false), ..person("d", Some("mail@x")) };
    directory.write(&seen(unverified, 200)).await.unwrap();
    assert_eq!(directory.by_email("mail@x").await.unwrap().unwrap().person.sub, "b");
    // A source that cannot tell leaves it, for the same address alone.
    let unknown = |email| Person { email_verified: None, ..person("b", Some(email)) };
    directory.write(&seen(unknown("MAIL@X"), 300)).await.unwrap();
    assert_eq!(directory.by_sub("b").await.unwrap().unwrap().person.email_verified, Some(true));
    directory.write(&seen(unknown("new@x"), 301)).await.unwrap();
    assert_eq!(directory.by_sub("b").await.unwrap().unwrap().person.email_verified, Some(false));
    assert_eq!(directory.by_email("mail@x").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs postgres"]
async fn of_many_at_once_with_one_address_one_has_it_and_all_are_written() {
    let postgres = Postgres::start().await;
    let directory = directory(&postgres, "https://issuer");
    for round in 0..20_u64 {
        let observations: Vec<_> =
            (0..8).map(|nth| seen(person(&format!("s{nth}"), Some("one@x")), 100 + round)).collect();
        let written = join_all(observations.iter().map(|one| async {
            // In each other's way more than twice, they are tried again.
            while directory.write(one).await.is_err() {}
        }));
        written.await;
        let verified = "SELECT count(*) FROM people WHERE email_verified";
        assert_eq!(postgres.ask::<i64>(verified, &[]).await, 1);
    }
    assert_eq!(postgres.ask::<i64>("SELECT count(*) FROM people", &[]).await, 8);
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn who_was_erased_comes_back_only_by_something_new() {
    let postgres = Postgres::start().await;
    let clock = Arc::new(ShiftedClock::default());
    let directory = Directory::open(&config(&postgres), "https://issuer", clock.clone(), Arc::default());
    let directory = directory.unwrap().unwrap();
    let now = auth_api::domain::clock::Clock::now(&*clock).as_secs();
    directory.write(&seen(person("a", Some("a@x")), now - 10)).await.unwrap();
    assert!(directory.erase("a").await.unwrap());
    assert!(!directory.erase("a").await.unwrap());
    assert!(!directory.erase("nobody").await.unwrap());
    assert_eq!((directory.by_sub("a").await.unwrap(), directory.by_email("a@x").await.unwrap()), (None, None));
    let left = "SELECT to_jsonb(p)::text FROM people p";
    let left: serde_json::Value = serde_json::from_str(&postgres.ask::<String>(left, &[]).await).unwrap();
    for column in ["email", "name", "provider", "legacy_id", "last_seen"] {
        assert_eq!(left[column], serde_json::Value::Null, "{left}");
    }
    assert_eq!((&left["username"], &left["attributes"]), (&"".into(), &serde_json::json!({})));
    assert_eq!(postgres.ask::<i64>("SELECT count(*) FROM directory", &[]).await, 0);
    // A renewal that was under way.
    directory.write(&seen(person("a", Some("a@x")), now - 1)).await.unwrap();
    assert_eq!(directory.by_sub("a").await.unwrap(), None);
    directory.write(&seen(person("a", Some("a@x")), now + 60)).await.unwrap();
    assert_eq!(
        directory.by_sub("a").await.unwrap().unwrap().person,
        Person { is_complete: true, ..person("a", Some("a@x")) }
    );
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn what_the_database_cannot_hold_is_dropped_and_nothing_waits_behind_it() {
    let postgres = Postgres::start().await;
    let metrics = Arc::new(auth_api::telemetry::Metrics::default());
    let directory = Directory::open(&config(&postgres), "https://issuer", Arc::new(SystemClock), metrics.clone());
    let directory = directory.unwrap().unwrap();
    let broken = [
        Person { name: Some("a\0b".into()), ..person("nul", None) },
        Person { attributes: [("custom:x".to_owned(), "\0".to_owned())].into(), ..person("nul-attribute", None) },
        person("long", Some(&"x".repeat(1 << 20))),
    ];
    for person in broken {
        assert!(matches!(directory.write(&seen(person.clone(), 1)).await, Err(Error::Refused(_))), "{}", person.sub);
        directory.record(seen(person, 1)).await;
    }
    assert_eq!((directory.waiting(), directory.is_failing()), (0, false));
    directory.record(seen(person("fine", None), 1)).await;
    assert!(directory.by_sub("fine").await.unwrap().is_some());
    assert!(metrics.render(&Default::default()).contains("auth_api_directory_writes_total{outcome=\"dropped\"} 3"));
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn changes_are_read_in_order_and_none_is_left_out() {
    let postgres = Postgres::start().await;
    let directory = directory(&postgres, "https://issuer");
    for nth in 0..7 {
        directory.write(&seen(person(&format!("s{nth}"), None), 100)).await.unwrap();
    }
    let start = ChangePosition { updated_us: 0, sub: String::new() };
    assert!(
        directory.changed_after(&start, 10).await.unwrap().is_empty(),
        "too new: an older one may not be committed"
    );
    // Some in one moment.
    postgres.execute("ALTER TABLE people DISABLE TRIGGER people_updated").await;
    postgres.execute("UPDATE people SET updated = '2020-01-01' WHERE sub < 's3'").await;
    postgres.execute("UPDATE people SET updated = '2020-01-02'::timestamptz + right(sub, 1)::int * interval '1 us' WHERE sub >= 's3'").await;
    postgres.execute("ALTER TABLE people ENABLE TRIGGER people_updated").await;
    let (mut position, mut subs) = (start, vec![]);
    loop {
        let page = directory.changed_after(&position, 2).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        position = last.clone();
        subs.extend(page.into_iter().map(|(_, entry)| entry.person.sub));
    }
    assert_eq!(subs, ["s0", "s1", "s2", "s3", "s4", "s5", "s6"]);
}
