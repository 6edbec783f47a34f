//! Rate limits that all processes share, by the server's clock.

use super::Postgres;
use crate::store::{Error, Permits, RateLimit};
use std::time::Duration;

/// The microseconds since 1970 by the server's clock.
macro_rules! now_us {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}

/// name; then in µs: interval, tolerance, how far ahead; how many → what came of it, how many, µs until the first, which may
/// be negative. A time far ahead is that of a server whose clock was wrong.
const ACQUIRE: &str = concat!(
    "WITH found AS (SELECT name, arrival, rests FROM rate_limits WHERE name = $1 FOR UPDATE),
timed AS (SELECT *, ",
    now_us!(),
    " AS now FROM found),
due AS (
    SELECT name, rests, now, greatest(CASE WHEN arrival > now + 5000000 THEN now ELSE arrival END, now - $3::bigint) AS due
    FROM timed),
granted AS (
    SELECT *, due - now AS wait, rests > now AND rests <= now + 3600000000 AS resting,
        least($5::bigint, ($4::bigint - (due - now)) / $2::bigint + 1) AS count
    FROM due),
written AS (
    UPDATE rate_limits AS r SET arrival = due + count * $2 FROM granted g
    WHERE r.name = g.name AND NOT resting AND wait <= $4)
SELECT CASE WHEN resting THEN 'rests' WHEN wait > $4 THEN 'exhausted' ELSE 'granted' END, count,
    CASE WHEN resting THEN rests - now WHEN wait > $4 THEN wait - $4 ELSE wait END
FROM granted"
);

/// name.
const MAKE: &str = "INSERT INTO rate_limits (name) VALUES ($1) ON CONFLICT DO NOTHING";

/// name, µs. The later end counts.
const REST: &str = concat!(
    "INSERT INTO rate_limits AS r (name, rests) VALUES ($1, $2::bigint + ",
    now_us!(),
    ")
ON CONFLICT (name) DO UPDATE SET rests = CASE
    WHEN r.rests > EXCLUDED.rests AND r.rests <= ",
    now_us!(),
    " + 3600000000 THEN r.rests ELSE EXCLUDED.rests END"
);

impl Postgres {
    pub(super) async fn acquire_permits(
        &self,
        limit: RateLimit,
        wanted: u32,
        ahead: Duration,
    ) -> Result<Permits, Error> {
        let [interval, tolerance, ahead] = [limit.interval(), limit.tolerance(), ahead].map(micros);
        let acquire =
            async || self.run(ACQUIRE, &[&limit.name, &interval, &tolerance, &ahead, &i64::from(wanted)]).await;
        let mut answer = acquire().await?;
        if answer.is_empty() {
            self.run(MAKE, &[&limit.name]).await?;
            answer = acquire().await?;
        }
        let row = answer.pop().ok_or_else(|| self.unexpected("no rate limit"))?;
        let (outcome, count, wait): (String, i64, i64) = (self.get(&row, 0)?, self.get(&row, 1)?, self.get(&row, 2)?);
        let count = u32::try_from(count).unwrap_or(0);
        Ok(match outcome.as_str() {
            "granted" => limit.granted(count, wait),
            "rests" => Permits::BackOff(Duration::from_micros(wait.unsigned_abs())),
            _ => Permits::Exhausted(Duration::from_micros(wait.unsigned_abs())),
        })
    }

    pub(super) async fn rest(&self, limit: RateLimit, pause: Duration) -> Result<(), Error> {
        self.run(REST, &[&limit.name, &micros(pause)]).await.map(drop)
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
