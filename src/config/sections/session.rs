//! `[session]`: where sessions are kept and how long they live.

use std::time::Duration;

use crate::config::diagnostic::Mistake;
use crate::config::key::KeyShape;
use crate::config::reader::{ConfigReader, Field};
use crate::config::spec::{KeySpec, duration, fine_duration, limit, section, text, text_with_base};
use crate::config::values::scalar;
use crate::config::values::store_url::{self, StoreUrl};

const DAY: Duration = Duration::from_secs(86_400);

section! {
    session: "How long people stay signed in, and where that is remembered.";
    SessionConfig / RawSession

    /// Where sessions are kept: "redb:PATH", a file that survives restarts and serves one process; "memory:", which
    /// signs everyone out on restart; or what many processes share. Redis 6.2 or later, or Valkey:
    /// "redis://:PASSWORD@HOST:6379/0", "rediss://…" with TLS, "redis+sentinel://HOST:26379,HOST:26379/MASTER",
    /// "redis+cluster://HOST:6379,HOST:6379". Deployments that share one server differ in "?prefix=NAME".
    /// PostgreSQL 13 or later: "postgres://USER:PASSWORD@HOST:5432/DATABASE", with TLS unless it is on this machine.
    /// Deployments that share one database differ in "?schema=NAME".
    /// Relative paths start at this file's folder.
    store: StoreUrl = text_with_base(store_url::store_url)
        .default("redb:auth-api.redb")
        .or_file("/run/secrets/session-store", "A file that holds the address of the store, instead of store: it can hold a password.");

    /// Longest wait for one answer of the store, from 100ms to 10s. After it /validate answers 503.
    store_timeout: Duration = fine_duration()
        .default("1s")
        .within(
            Duration::from_millis(100)..=Duration::from_secs(10),
            "Under 100ms a busy store would count as lost; over 10s every request of every site would hang with it.",
            "Write a time from `100ms` to `10s`; `1s` suits most.",
        );

    /// A process remembers sessions and hears of every change that another one makes in the store. When it can no longer
    /// hear, it answers from memory for this long and then asks the store each time, from 50ms to 1h: a longer time
    /// keeps people signed in through an outage of the store, and may keep one who signed out elsewhere meanwhile.
    max_stale: Duration = fine_duration()
        .default("250ms")
        .within(
            Duration::from_millis(50)..=Duration::from_secs(3_600),
            "Under 50ms a busy machine would ask the store for every request; over an hour a sign-out would hardly count.",
            "Write a time from `50ms` to `1h`; `250ms` suits most.",
        );

    /// How much memory the sessions that a process remembers may take, from 16MB to 256GB: about 1.2 KB each, more with
    /// long names or many groups. Those that are not remembered are read from the store, which takes longer.
    cache_memory: u64 = text(scalar::memory_size).default("256MB");

    /// How long a session lasts at most. The provider's refresh token should live as long, or the session ends
    /// when that does. Browsers keep cookies for 400d at most.
    max_age: Duration = duration().default("30d").rule(check_max_age);

    /// Ends sessions not used for this long; 0s for no such limit. Shorter than max_age.
    idle: Option<Duration> = idle_time()
        .default("0s")
        .rule(|idle| idle.map_or(Ok(()), |idle| shorter_than_session(idle, &max_age)));

    /// How long people may take at the provider's pages, from 1m to 24h: a code that comes by e-mail, a second factor,
    /// a new account. After it they are asked to start again, and still get to the page that they wanted.
    sign_in_timeout: Duration = duration()
        .default("1h")
        .within(
            Duration::from_secs(60)..=DAY,
            "Under one minute people who look for their password would be cut off; after a day, whoever sits at the \
             browser then could finish what another one began.",
            "Write a time from `1m` to `24h`; `1h` suits most.",
        );

    /// POST /refresh renews tokens that have less than this left. Under 1h: each renewal is a call to the provider.
    refresh_margin: Duration = duration().default("5m").rule(|margin| refresh_margin(*margin, &max_age));

    /// How many sessions one user has at most: with one more sign-in the oldest ends, at whichever process, and its refresh
    /// token is revoked. 0 for no limit.
    per_user: Option<usize> = limit().default("100");
}

fn check_max_age(age: &Duration) -> Result<(), Mistake> {
    Mistake::unless(
        !age.is_zero(),
        "Every session would end the moment it starts.",
        "Write how long people stay signed in: `12h`, `30d`.",
    )?;
    Mistake::unless(
        *age <= 400 * DAY,
        "Browsers drop every cookie after 400 days, so sessions would end earlier than this says.",
        "Write `400d` or less.",
    )
}

/// A duration, of which `0s` is none.
fn idle_time<'a>() -> KeySpec<'a, Option<Duration>> {
    let idle = text(|text| scalar::duration(text).map(|idle| (!idle.is_zero()).then_some(idle)));
    KeySpec { shape: KeyShape::Duration, ..idle }
}

fn shorter_than_session(idle: Duration, max_age: &Field<Duration>) -> Result<(), Mistake> {
    Mistake::unless(
        idle >= Duration::from_secs(60),
        "Uses are written down every few seconds, so a time this short would end sessions that are in use.",
        "Write `1m` or more, or `0s` for no idle limit.",
    )?;
    Mistake::unless(
        max_age.valid().is_none_or(|age| idle < *age),
        format!("It is not shorter than {}, so it would never end a session.", max_age.at),
        "Write a shorter time, or `0s` for no idle limit.",
    )
}

fn refresh_margin(margin: Duration, max_age: &Field<Duration>) -> Result<(), Mistake> {
    Mistake::unless(
        margin < Duration::from_secs(3_600),
        "Tokens usually live one hour: with a margin that long every /refresh would be a call to the provider, \
         which limits them and may bill them.",
        "Write less than `1h`; `5m` suits tokens that live an hour.",
    )?;
    Mistake::unless(
        max_age.valid().is_none_or(|age| margin < *age),
        format!("It is not shorter than {}, so every /refresh would be a call to the provider.", max_age.at),
        "Write a time much shorter than the session.",
    )
}
