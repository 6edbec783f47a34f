//! Where sessions are kept: the addresses of Redis and PostgreSQL.

use super::{good, one_problem, problems};
use auth_api::config::{HostPort, PostgresServers, PostgresTls, PostgresUrl, RedisServers, RedisUrl, StoreUrl};
use secrecy::ExposeSecret;

fn redis(url: &str) -> RedisUrl {
    match good(&[("session.store", &format!("{url:?}"))]).session.store {
        StoreUrl::Redis(url) => url,
        other => panic!("{other:?}"),
    }
}

#[test]
fn addresses_of_redis_are_read() {
    for (url, shown) in [
        ("redis://cache", "redis://cache:6379/0?prefix=auth-api"),
        ("REDIS://Cache.Example/", "redis://cache.example:6379/0?prefix=auth-api"),
        ("rediss://:secret@cache:6380/12", "rediss://cache:6380/12?prefix=auth-api"),
        ("redis://jane:secret@[::1]:7000/1?prefix=shop_1", "redis://[::1]:7000/1?prefix=shop_1"),
        ("redis://10.0.0.1?prefix=a-b", "redis://10.0.0.1:6379/0?prefix=a-b"),
        ("redis+sentinel://a,b:1,[::2]/main", "redis+sentinel://a:26379,b:1,[::2]:26379/main/0?prefix=auth-api"),
        ("rediss+sentinel://:secret@a:1/my.main-1/3", "rediss+sentinel://a:1/my.main-1/3?prefix=auth-api"),
        ("redis+cluster://:secret@a:1,b,c:3", "redis+cluster://a:1,b:6379,c:3?prefix=auth-api"),
        ("rediss+cluster://redis_1:1/?prefix=x", "rediss+cluster://redis_1:1?prefix=x"),
    ] {
        let read = redis(url);
        assert_eq!(read.to_string(), shown, "{url}");
        assert_eq!(read.tls, url.to_ascii_lowercase().starts_with("rediss"), "{url}");
        assert!(!format!("{read:?}{read}").contains("secret"), "{url}");
        assert_eq!(read.password.is_some(), url.contains("secret"), "{url}");
    }
    let read = redis("redis://j%40ne:p%2Fa%3Ass%25%23%F0%9F%94%91@cache");
    assert_eq!(read.user.as_deref(), Some("j@ne"));
    assert_eq!(read.password.as_ref().unwrap().expose_secret(), "p/a:ss%#🔑");
    assert_eq!(redis("redis://:a%62c@cache"), redis("redis://:abc@cache"));
    assert_ne!(redis("redis://:abc@cache"), redis("redis://:abd@cache"));
    assert_ne!(redis("redis://:abc@cache"), redis("redis://cache"));
    assert_eq!(redis("redis://:a:b@cache").password.unwrap().expose_secret(), "a:b");
    assert!(matches!(redis("redis+cluster://a,b").servers, RedisServers::Cluster(nodes) if nodes.len() == 2));
}

#[test]
fn mistakes_in_an_address_are_explained_and_never_shown() {
    for (url, words) in [
        ("redis:hunter2", "two slashes"),
        ("redis://", "A host is missing"),
        ("redis://:hunter2@", "A host is missing"),
        ("redis+cluster://a:1,,b", "A host is missing"),
        ("redis://hunter2@cache", "a user or a password"),
        ("redis://hunter2:@cache", "password is empty"),
        ("redis://:hunter2%@cache", "`%40` for `@`"),
        ("redis://:hunter2%zz@cache", "`%40` for `@`"),
        ("redis://:hunter2%ff@cache", "`%40` for `@`"),
        ("redis://:hunter2@x@cache", "`%40` for `@`"),
        ("redis://:hunter2#@cache", "`%23`"),
        ("redis://:hunter2/x@cache", "`%2F`"),
        ("redis://:hunter2?x@cache", "`%3F`"),
        ("redis://cache:hunter2", "1 to 65535"),
        ("redis://cache:0", "1 to 65535"),
        ("redis://cache:65536", "1 to 65535"),
        ("redis://hunter2 x", "not a host name"),
        ("redis://[::hunter2]", "not a host name"),
        ("redis://hunter2,b", "redis+cluster://"),
        ("redis://cache/hunter2", "number of a database"),
        ("redis://cache/-1", "number of a database"),
        ("redis://cache/1/", "number of a database"),
        ("redis+sentinel://hunter2", "the name that they give"),
        ("redis+sentinel://hunter2/", "the name that they give"),
        ("redis+sentinel://a/hunter 2", "the name that they give"),
        ("redis+sentinel://a/main/hunter2", "number of a database"),
        ("redis+cluster://a/1", "one database only"),
        ("redis://cache?prefix=", "up to 32 letters"),
        ("redis://cache?prefix=hunter2:", "up to 32 letters"),
        ("redis://cache?prefix=hunter2hunter2hunter2hunter2hunter2", "up to 32 letters"),
        ("redis://cache?prefix=a&prefix=b", "up to 32 letters"),
        ("redis://cache?hunter2", "something else than `prefix=`"),
        ("redis+unix://hunter2", "not a session store"),
        ("valkey://hunter2", "`redis://HOST`"),
        (" redis://hunter2", "white space"),
        ("redis://hunter2\n", "white space"),
    ] {
        one_problem(&[("session.store", &format!("{url:?}"))], "session.store", words);
        assert!(
            problems(&[("session.store", &format!("{url:?}"))])
                .iter()
                .all(|problem| !format!("{problem} {problem:?}").contains("hunter")),
            "{url}"
        );
    }
}

#[test]
fn the_address_can_be_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    std::fs::write(&path, "redis://:hunter2@cache\n").unwrap();
    let file = format!("{:?}", path.display().to_string());
    let StoreUrl::Redis(url) = good(&[("session.store_file", &file)]).session.store else { panic!("redis") };
    assert_eq!(url.password.unwrap().expose_secret(), "hunter2");
    let both = [("session.store_file", file.as_str()), ("session.store", "\"memory:\"")];
    one_problem(&both, "session.store_file", "only one of them");
    std::fs::write(&path, "redis://:hunter2@\n").unwrap();
    one_problem(&[("session.store_file", &file)], "session.store_file", "A host is missing");
}

fn postgres(url: &str) -> PostgresUrl {
    match good(&[("session.store", &format!("{url:?}"))]).session.store {
        StoreUrl::Postgres(url) => url,
        other => panic!("{other:?}"),
    }
}

#[test]
fn addresses_of_postgresql_are_read() {
    for (url, shown) in [
        ("postgres://jane:secret@db/app", "postgres://db:5432/app?schema=auth_api"),
        ("PostgreSQL://jane@Db.Example:6000/app?schema=shop_1", "postgres://db.example:6000/app?schema=shop_1"),
        ("postgres://jane:secret@a,b:1,[::2]/app", "postgres://a:5432,b:1,[::2]:5432/app?schema=auth_api"),
        ("postgres://jane@/app?host=/run/postgresql", "postgres:///run/postgresql:5432/app?schema=auth_api"),
    ] {
        let read = postgres(url);
        assert_eq!(read.to_string(), shown, "{url}");
        assert!(!format!("{read:?}{read}").contains("secret") && !format!("{read:?}").contains("jane"), "{url}");
        assert_eq!(read.password.is_some(), url.contains("secret"), "{url}");
    }
    let read = postgres("postgres://j%40ne:p%2Fa%3Ass@db/a%20b?connections=20&schema=x");
    assert_eq!((read.user.as_str(), read.database.as_str(), read.connections), ("j@ne", "a b", 20));
    assert_eq!(read.password.as_ref().unwrap().expose_secret(), "p/a:ss");
    assert_eq!(postgres("postgres://a@db/app").connections, 8);
    assert_eq!(postgres("postgres://a:%62@db/app"), postgres("postgres://a:b@db/app"));
    assert_ne!(postgres("postgres://a:b@db/app"), postgres("postgres://a:c@db/app"));
    assert_ne!(postgres("postgres://a:b@db/app"), postgres("postgres://a@db/app"));
    let socket = PostgresServers::Socket("/run/pg".into(), 6_000);
    assert_eq!(postgres("postgres://a@:6000/app?host=%2Frun%2Fpg").servers, socket);
}

#[test]
fn postgresql_is_reached_over_verified_tls_unless_it_is_here_or_somebody_says_so() {
    let tls = |rest: &str| match postgres(&format!("postgres://jane@{rest}")).servers {
        PostgresServers::Network(_, tls) => tls,
        other => panic!("{other:?}"),
    };
    for (rest, expected) in [
        ("db/app", PostgresTls::Verified(None)),
        ("127.0.0.1/app", PostgresTls::Off),
        ("[::1]/app", PostgresTls::Off),
        ("localhost,127.0.0.2/app", PostgresTls::Off),
        ("localhost,db/app", PostgresTls::Verified(None)),
        ("127.0.0.1.example/app", PostgresTls::Verified(None)),
        ("localhost/app?sslmode=require", PostgresTls::Verified(None)),
        ("db/app?sslmode=verify-ca", PostgresTls::Verified(None)),
        ("db/app?sslmode=verify-full&sslrootcert=/ca.pem", PostgresTls::Verified(Some("/ca.pem".into()))),
        ("localhost/app?sslrootcert=/ca.pem", PostgresTls::Verified(Some("/ca.pem".into()))),
        ("db/app?sslmode=disable", PostgresTls::Off),
    ] {
        assert_eq!(tls(rest), expected, "{rest}");
    }
    let PostgresServers::Network(servers, _) = postgres("postgres://jane@db/app").servers else { panic!("a network") };
    assert_eq!(servers, [HostPort { host: "db".into(), port: 5_432 }]);
}

#[test]
fn mistakes_in_an_address_of_postgresql_are_explained_and_never_shown() {
    for (url, words) in [
        ("postgres:hunter2", "two slashes"),
        ("postgres://db/app", "names no user"),
        ("postgres://jane:hunter2@db", "name of the database"),
        ("postgres://jane:hunter2@db/", "name of the database"),
        ("postgres://jane:hunter2@db/a/b", "name of the database"),
        ("postgres://:hunter2@db/app", "lacks the user"),
        ("postgres://jane:hunter2@/app", "A host is missing"),
        ("postgres://jane:@db/app", "password is empty"),
        ("postgres://jane:hunter2%@db/app", "`%40` for `@`"),
        ("postgres://jane:hunter2#@db/app", "`%23`"),
        ("postgres://jane@db:hunter2/app", "1 to 65535"),
        ("postgres://jane@db/app?hunter2", "does not exist here"),
        ("postgres://jane@db/app?password=hunter2", "does not exist here"),
        ("postgres://jane@db/app?schema=", "empty or there twice"),
        ("postgres://jane@db/app?schema=a&schema=b", "empty or there twice"),
        ("postgres://jane@db/app?schema=Hunter2", "up to 32 lower-case letters"),
        ("postgres://jane@db/app?schema=pg_hunter2", "up to 32 lower-case letters"),
        ("postgres://jane@db/app?schema=a;DROP", "up to 32 lower-case letters"),
        ("postgres://jane@db/app?connections=0", "1 to 100"),
        ("postgres://jane@db/app?connections=hunter2", "1 to 100"),
        ("postgres://jane@db/app?sslmode=prefer", "go on without TLS"),
        ("postgres://jane@db/app?sslmode=hunter2", "go on without TLS"),
        ("postgres://jane@db/app?sslmode=disable&sslrootcert=/ca.pem", "no certificate is looked at"),
        ("postgres://jane@db/app?host=/run", "no host can stand before the path"),
        ("postgres://jane@/app?host=hunter2", "no host can stand before the path"),
        ("postgres://jane@/app?host=/run&sslmode=require", "no TLS on a socket"),
    ] {
        one_problem(&[("session.store", &format!("{url:?}"))], "session.store", words);
        let found = problems(&[("session.store", &format!("{url:?}"))]);
        assert!(
            found.iter().all(|problem| !format!("{problem} {problem:?}").to_lowercase().contains("hunter")),
            "{url}"
        );
    }
}
