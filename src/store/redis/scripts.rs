//! What Redis does in one piece. Every script keeps to the keys of one session or one index, which are on one
//! server of a cluster. Each can be repeated when its answer was lost: a write carries an id of its own, a lease
//! the id of who asks, and whoever finds its own id there has done it already.
//!
//! A record begins with `VERSION ENDS SEEN WRITE `. Lua's numbers are exact up to 2^53, which microseconds since
//! 1970 reach in the year 2255; what can be larger stays text.

use redis::Script;
use std::sync::LazyLock;

macro_rules! scripts {
    ($($(#[$doc:meta])* $id:ident = $code:expr;)*) => {
        $($(#[$doc])* pub(super) static $id: LazyLock<Script> = LazyLock::new(|| Script::new($code));)*
    };
}

scripts! {
    /// record, used, tombstone, tokens; record, seen, expiry, write id, tokens or '' → 1, or 0 if the key is taken or has a
    /// tombstone.
    CREATE = "
if redis.call('EXISTS', KEYS[3]) > 0 then return 0 end
local old = redis.call('GETRANGE', KEYS[1], 0, 95)
if old ~= '' then
    return string.match(old, '^%d+ %d+ %d+ (%S+) ') == ARGV[4] and 1 or 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[3])
redis.call('SET', KEYS[2], ARGV[2], 'PXAT', ARGV[3])
if ARGV[5] ~= '' then redis.call('SET', KEYS[4], ARGV[5], 'PXAT', ARGV[3]) end
return 1";

    /// record, used, tombstone, tokens; record, version, seen, expiry, tokens or '' → 1, 0 if a newer version is there or
    /// the same and this brings no tokens that it lacks, -1 if a tombstone is.
    RESTORE = "
if redis.call('EXISTS', KEYS[3]) > 0 then return -1 end
local version = string.match(redis.call('GETRANGE', KEYS[1], 0, 95), '^%d+')
if version and tonumber(version) > tonumber(ARGV[2]) then return 0 end
if version and tonumber(version) == tonumber(ARGV[2]) then
    if ARGV[5] == '' or redis.call('EXISTS', KEYS[4]) == 1 then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[4])
local used = redis.call('GET', KEYS[2]) or '0'
if tonumber(used) < tonumber(ARGV[3]) then used = ARGV[3] end
redis.call('SET', KEYS[2], used, 'PXAT', ARGV[4])
if ARGV[5] ~= '' then redis.call('SET', KEYS[4], ARGV[5], 'PXAT', ARGV[4]) else redis.call('DEL', KEYS[4]) end
return 1";

    /// record, used, lease, tokens; expected version, record, seen, ends, idle in ms or 0, seconds to keep what is
    /// over, fence or '', how long to remember a lease in ms, write id, access or '' to keep it, refresh or '' → 1, 0 if
    /// stale, -1 if gone, -2 if a part of the tokens is to be kept and is not there.
    UPDATE = "
local old = redis.call('GETRANGE', KEYS[1], 0, 95)
if old == '' then return -1 end
if string.match(old, '^%d+ %d+ %d+ (%S+) ') == ARGV[9] then return 1 end
if string.match(old, '^%d+') ~= ARGV[1] then return 0 end
local lease = ARGV[7] ~= '' and redis.call('HMGET', KEYS[3], 'fence', 'held')
local held = lease and lease[2]
if held and lease[1] ~= ARGV[7] then return 0 end
local access, refresh = ARGV[10], ARGV[11]
if (access == '') ~= (refresh == '') then
    local tokens = redis.call('GET', KEYS[4]) or ''
    local length, at = string.match(tokens, '^(%d+) ()')
    if not at then return -2 end
    if access == '' then access = string.sub(tokens, at, at + length - 1) else refresh = string.sub(tokens, at + length) end
end
if held then
    redis.call('HDEL', KEYS[3], 'held', 'until', 'doubt')
    redis.call('PEXPIRE', KEYS[3], ARGV[8])
end
local used = redis.call('GET', KEYS[2]) or '0'
local before = string.match(old, '^%d+ %d+ (%d+)')
local last = math.max(tonumber(ARGV[3]), tonumber(used), tonumber(before))
local over = tonumber(ARGV[4])
if tonumber(ARGV[5]) > 0 then over = math.min(over, last + 2 * ARGV[5] / 1000) end
local expiry = string.format('%.0f', (over + ARGV[6]) * 1000)
redis.call('SET', KEYS[1], ARGV[2], 'PXAT', expiry)
redis.call('SET', KEYS[2], string.format('%.0f', last), 'PXAT', expiry)
if access ~= '' then
    redis.call('SET', KEYS[4], #access .. ' ' .. access .. refresh, 'PXAT', expiry)
else
    redis.call('PEXPIREAT', KEYS[4], expiry)
end
return 1";

    /// record, used, tokens; seen, idle in ms or 0, seconds to keep what is over.
    TOUCH = "
local head = redis.call('GETRANGE', KEYS[1], 0, 95)
local ends, seen = string.match(head, '^%d+ (%d+) (%d+)')
if not ends then return 0 end
local used = redis.call('GET', KEYS[2])
if tonumber(ARGV[1]) < math.max(tonumber(used or '0'), tonumber(seen)) + tonumber(ARGV[4]) then return 0 end
local idle = tonumber(ARGV[2])
if idle == 0 then
    redis.call('SET', KEYS[2], ARGV[1], 'KEEPTTL')
    if not used then redis.call('PEXPIRE', KEYS[2], redis.call('PTTL', KEYS[1])) end
    return 1
end
local over = math.min(tonumber(ends), tonumber(ARGV[1]) + 2 * idle / 1000) + tonumber(ARGV[3])
local expiry = string.format('%.0f', over * 1000)
redis.call('SET', KEYS[2], ARGV[1], 'PXAT', expiry)
if redis.call('PTTL', KEYS[1]) < idle then
    redis.call('PEXPIREAT', KEYS[1], expiry)
    redis.call('PEXPIREAT', KEYS[3], expiry)
end
return 1";

    /// record, used, lease, tombstone, tokens; until when in s, expiry, how long it is kept at least in ms → the
    /// record, its last use and its tokens.
    DELETE = "
local old = redis.call('MGET', KEYS[1], KEYS[2], KEYS[4], KEYS[5])
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[5])
local time = redis.call('TIME')
local least = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3]
local expiry = string.format('%.0f', math.max(least, tonumber(ARGV[2])))
local till = ARGV[1]
if old[3] and (tonumber(old[3]) or 0) >= tonumber(till) then
    till = old[3]
    local left = redis.call('PTTL', KEYS[4])
    if left > 0 then expiry = string.format('%.0f', math.max(tonumber(expiry), least - ARGV[3] + left)) end
end
redis.call('SET', KEYS[4], till, 'PXAT', expiry)
return {old[1], old[2], old[4]}";

    /// record, lease; how long, how long to remember it in ms, who asks → what came of it, and ms to wait or
    /// fence and whether it was abandoned. One that is abandoned is remembered as long as the record.
    LEASE = "
local left = redis.call('PTTL', KEYS[1])
if left == -2 then return {'gone', 0, 0} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = redis.call('HMGET', KEYS[2], 'fence', 'held', 'until', 'doubt', 'abandoned')
local till = tonumber(lease[3] or '0')
if till > now then
    if lease[2] == ARGV[3] then return {'taken', lease[1], lease[5] and 1 or 0} end
    if lease[2] then return {'held', 0, 0} end
    return {'paused', till - now, 0}
end
local fence = math.max(time[1] * 1000000 + time[2], tonumber(lease[1] or '0') + 1)
fence = string.format('%.0f', fence)
till = string.format('%.0f', now + ARGV[1])
redis.call('HSET', KEYS[2], 'fence', fence, 'held', ARGV[3], 'until', till)
redis.call('HDEL', KEYS[2], 'doubt', 'abandoned')
local abandoned = (lease[2] or lease[4]) and 1 or 0
if abandoned == 1 then redis.call('HSET', KEYS[2], 'abandoned', '1') end
redis.call('PEXPIRE', KEYS[2], string.format('%.0f', math.max(left, ARGV[1] + ARGV[2])))
return {'taken', fence, abandoned}";

    /// lease; fence, how long in ms → 1 if it is still ours. One that was lost with other data is ours again.
    EXTEND = "
local lease = redis.call('HMGET', KEYS[1], 'fence', 'held')
if not lease[1] then
    redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'held', 'extended')
elseif lease[1] ~= ARGV[1] or not lease[2] then
    return 0
end
local time = redis.call('TIME')
local till = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', till))
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1";

    /// lease; fence, pause in ms or '', 1 for doubt or 0, how long to remember it in ms.
    RELEASE = "
local lease = redis.call('HMGET', KEYS[1], 'fence', 'held')
if lease[1] ~= ARGV[1] or not lease[2] then return 0 end
redis.call('HDEL', KEYS[1], 'held', 'until')
if ARGV[2] == '' then
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
    return 1
end
local time = redis.call('TIME')
local till = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', till))
if ARGV[3] == '1' then redis.call('HSET', KEYS[1], 'doubt', '1') end
if redis.call('PTTL', KEYS[1]) < ARGV[2] + ARGV[4] then redis.call('PEXPIRE', KEYS[1], ARGV[2] + ARGV[4]) end
return 1";

    /// mark; until when in s, expiry, write id → 1, or 0 if it was there; the later end counts.
    REVOKE = "
local old = redis.call('GET', KEYS[1])
if not old then
    redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[3], 'PXAT', ARGV[2])
    return 1
end
local till, write = string.match(old, '^(%d+) (%S+)$')
if tonumber(till or '0') < tonumber(ARGV[1]) then
    redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. (write or ''), 'PXAT', ARGV[2])
end
return write == ARGV[3] and 1 or 0";

    /// index; session, expiry. The index lives as long as its longest record.
    LIST = "
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1], ARGV[1])
local left = redis.call('PTTL', KEYS[1])
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if left < 0 or now + left < tonumber(ARGV[2]) then redis.call('PEXPIREAT', KEYS[1], ARGV[2]) end
return 1";

    /// index; seconds, sessions → removes those that were added longer ago than that.
    PRUNE = "
local before = redis.call('TIME')[1] - ARGV[1]
for i = 2, #ARGV do
    local added = redis.call('ZSCORE', KEYS[1], ARGV[i])
    if added and tonumber(added) < before then redis.call('ZREM', KEYS[1], ARGV[i]) end
end
return 1";
}
