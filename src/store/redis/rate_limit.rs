//! Rate limits that all processes share, by the server's clock.

use super::Redis;
use super::client::KeyedCommand;
use crate::store::{Error, Permits, RateLimit};
use redis::Script;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// limit, last answer; request, then in µs: interval, tolerance, how far ahead; how many → what came of it, how many,
/// µs until the first, which may be negative. A request that is sent twice gets the same answer. A time far ahead is
/// that of a server whose clock was wrong.
static ACQUIRE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local answered = redis.call('HMGET', KEYS[2], 'request', 'came', 'count', 'wait')
if answered[1] == ARGV[1] then return {answered[2], answered[3], answered[4]} end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, tolerance, ahead = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local state = redis.call('HMGET', KEYS[1], 'arrival', 'rests')
local arrival, rests = tonumber(state[1] or '0'), tonumber(state[2] or '0')
if arrival > now + 5000000 then arrival = now end
arrival = math.max(arrival, now - tolerance)
local came, count, wait = 'granted', 0, arrival - now
if rests > now and rests <= now + 3600000000 then
    came, wait = 'rests', rests - now
elseif wait > ahead then
    came, wait = 'exhausted', wait - ahead
else
    count = math.min(tonumber(ARGV[5]), math.floor((ahead - wait) / interval) + 1)
    arrival = arrival + count * interval
    redis.call('HSET', KEYS[1], 'arrival', string.format('%.0f', arrival))
    local keep = math.max(math.ceil((arrival - now) / 1000), 0) + 1000
    if redis.call('PTTL', KEYS[1]) < keep then redis.call('PEXPIRE', KEYS[1], keep) end
end
wait = string.format('%.0f', wait)
redis.call('HSET', KEYS[2], 'request', ARGV[1], 'came', came, 'count', count, 'wait', wait)
redis.call('PEXPIRE', KEYS[2], 10000)
return {came, count, wait}",
    )
});

/// limit; ms. The later end counts.
static REST: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local before = tonumber(redis.call('HGET', KEYS[1], 'rests') or '0')
local rests = now + ARGV[1] * 1000
if before > rests and before <= now + 3600000000 then return 0 end
redis.call('HSET', KEYS[1], 'rests', string.format('%.0f', rests))
local keep = ARGV[1] + 1000
if redis.call('PTTL', KEYS[1]) < keep then redis.call('PEXPIRE', KEYS[1], keep) end
return 1",
    )
});

impl Redis {
    pub(super) async fn acquire_permits(
        &self,
        limit: RateLimit,
        wanted: u32,
        ahead: Duration,
    ) -> Result<Permits, Error> {
        let keys = [self.names.rate_limit(limit.name), self.names.last_answer(limit.name, &self.process)];
        let mut acquire = KeyedCommand::script(&ACQUIRE, &[&keys[0], &keys[1]]);
        acquire = acquire.arg(self.writes.fetch_add(1, Ordering::Relaxed));
        for time in [limit.interval(), limit.tolerance(), ahead] {
            acquire = acquire.arg(time.as_micros());
        }
        let (came, count, wait): (String, u32, i64) = self.client.run(&acquire.arg(wanted)).await?;
        Ok(match came.as_str() {
            "granted" => limit.granted(count, wait),
            "rests" => Permits::BackOff(Duration::from_micros(wait.unsigned_abs())),
            _ => Permits::Exhausted(Duration::from_micros(wait.unsigned_abs())),
        })
    }

    pub(super) async fn rest(&self, limit: RateLimit, pause: Duration) -> Result<(), Error> {
        let name = self.names.rate_limit(limit.name);
        self.client.run::<()>(&KeyedCommand::script(&REST, &[&name]).arg(pause.as_millis())).await
    }
}
