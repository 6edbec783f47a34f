//! What PostgreSQL does in one statement, and so in one transaction and one round trip. Each can be repeated when its answer
//! was lost: a write carries an id of its own, a lease the id of who asks, and whoever finds its own id there has done it
//! already.
//!
//! A statement that finds nothing to change says why by what it saw when it began. Where another was faster meanwhile, that
//! no longer holds: the answer is then the one after which the caller looks again. [`WROTE`] tells whether that other was the
//! same call, sent on a connection that was lost while the server was still at it.
//!
//! Changes are told by `NOTIFY` in the same transaction: none is told that was not made, and none made that is not told.
//! Uses are not told. Nor are new sessions: nobody can have asked for them.

/// The seconds since 1970 by the server's clock.
macro_rules! now {
    () => {
        "extract(epoch FROM clock_timestamp())::bigint"
    };
}
/// The milliseconds since 1970 by the server's clock.
macro_rules! now_ms {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}
/// Tells that something happened to `$1`; the first letter says what.
macro_rules! notify {
    ($letter:literal) => {
        concat!("pg_notify(current_schema(), '", $letter, "' || encode($1, 'base64'))")
    };
}
pub(super) use now;

/// key, version, ends, last used, sealed, summary, listed, access, refresh, write id, expires → whether it was written. A
/// row whose time is over counts as none.
pub(super) const CREATE: &str = concat!(
    "WITH written AS (
    INSERT INTO records AS r (key, version, ends, last_used, sealed, summary, listed, access, refresh, write_id, expires)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (key) DO UPDATE SET (version, ends, last_used, sealed, summary, listed, access, refresh, write_id, expires,
            tombstone, fence, holder, lease_until, doubt, abandoned)
        = ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, NULL, r.fence, NULL, 0, false, false)
        WHERE r.expires <= ",
    now!(),
    "
    RETURNING key)
SELECT EXISTS (SELECT FROM written) OR EXISTS (SELECT FROM records WHERE key = $1 AND write_id = $10)"
);

/// key, write id → whether the record is of this write.
pub(super) const WROTE: &str = "SELECT EXISTS (SELECT FROM records WHERE key = $1 AND write_id = $2)";

/// key → the record without its tokens, or its tombstone.
pub(super) const LOOKUP: &str = concat!(
    "SELECT key, version, ends, last_used, sealed, summary, listed, tombstone FROM records WHERE key = $1 AND expires > ",
    now!()
);

/// key → tokens.
pub(super) const LOAD_TOKENS: &str =
    concat!("SELECT access, refresh FROM records WHERE key = $1 AND version IS NOT NULL AND expires > ", now!());

/// key, version, ends, last used, sealed, summary, listed, access, refresh, write id, idle in seconds or 0, seconds to keep
/// what is over, expected version, fence or null → what came of it. A part of the tokens that is null stays.
pub(super) const UPDATE: &str = concat!(
    "WITH written AS (
    UPDATE records SET version = $2, ends = $3, last_used = greatest(last_used, $4), sealed = $5, summary = $6,
        listed = $7, access = coalesce($8, access), refresh = coalesce($9, refresh), write_id = $10,
        expires = CASE WHEN $11::bigint = 0 THEN $3 ELSE least($3, greatest(last_used, $4) + 2 * $11) END + $12,
        holder = CASE WHEN $14::bigint IS NULL THEN holder END,
        lease_until = CASE WHEN $14::bigint IS NULL OR holder IS NULL THEN lease_until ELSE 0 END,
        doubt = doubt AND ($14::bigint IS NULL OR holder IS NULL)
    WHERE key = $1 AND version = $13 AND expires > ",
    now!(),
    " AND ($14::bigint IS NULL OR holder IS NULL OR fence = $14)
        AND (($8::bytea IS NULL) = ($9::bytea IS NULL) OR (coalesce($8, access) IS NOT NULL AND coalesce($9, refresh) IS NOT NULL))
    RETURNING ",
    notify!("s"),
    "), seen AS (SELECT * FROM records WHERE key = $1 AND version IS NOT NULL AND expires > ",
    now!(),
    ")
SELECT CASE
    WHEN EXISTS (SELECT FROM written) THEN 'done'
    WHEN NOT EXISTS (SELECT FROM seen) THEN 'gone'
    WHEN EXISTS (SELECT FROM seen WHERE write_id = $10) THEN 'done'
    WHEN EXISTS (SELECT FROM seen WHERE version = $13 AND ($14::bigint IS NULL OR holder IS NULL OR fence = $14))
        AND ($8::bytea IS NULL) <> ($9::bytea IS NULL)
        AND EXISTS (SELECT FROM seen WHERE coalesce($8, access) IS NULL OR coalesce($9, refresh) IS NULL) THEN 'incomplete'
    ELSE 'stale' END"
);

/// keys, their last uses, idle in seconds or 0, seconds to keep what is over, seconds between two writes. The rows are locked
/// in one order: processes that touch the same sessions would wait for each other else.
pub(super) const TOUCH: &str = concat!(
    "WITH touched AS (
    SELECT r.key, t.used FROM records r JOIN unnest($1::bytea[], $2::bigint[]) AS t (key, used) ON r.key = t.key
    WHERE r.version IS NOT NULL AND t.used >= r.last_used + $5
    ORDER BY r.key FOR NO KEY UPDATE OF r)
UPDATE records r SET last_used = greatest(r.last_used, t.used),
    expires = CASE WHEN $3::bigint > 0 AND r.expires < ",
    now!(),
    " + $3 + $4 THEN least(r.ends, t.used + 2 * $3) + $4 ELSE r.expires END
FROM touched t WHERE r.key = t.key AND r.version IS NOT NULL"
);

/// key, version, ends, last used, sealed, summary, listed, access, refresh, write id, expires → what came of it.
pub(super) const RESTORE: &str = concat!(
    "WITH written AS (
    INSERT INTO records AS r (key, version, ends, last_used, sealed, summary, listed, access, refresh, write_id, expires)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (key) DO UPDATE SET (version, ends, last_used, sealed, summary, listed, access, refresh, write_id, expires,
            tombstone)
        = ($2, $3, greatest(r.last_used, $4), $5, $6, $7, $8, $9, $10, $11, NULL)
        WHERE r.expires <= ",
    now!(),
    " OR r.tombstone IS NULL AND (r.version < $2 OR r.version = $2 AND $8 IS NOT NULL AND $9 IS NOT NULL
            AND (r.access IS NULL OR r.refresh IS NULL))
    RETURNING ",
    notify!("s"),
    ")
SELECT CASE
    WHEN EXISTS (SELECT FROM written) THEN 'done'
    WHEN EXISTS (SELECT FROM records WHERE key = $1 AND tombstone IS NOT NULL) THEN 'ended'
    ELSE 'newer' END"
);

/// key, until, expires, seconds to keep it at least → the record with its tokens. The tombstone is written after the record
/// was read and locked: the insert counts what was read.
pub(super) const DELETE: &str = concat!(
    "WITH old AS (SELECT * FROM records WHERE key = $1 FOR UPDATE),
ended AS (
    INSERT INTO records AS r (key, tombstone, expires)
    SELECT $1, $2::bigint, greatest($3::bigint, ",
    now!(),
    " + $4::bigint) FROM (SELECT count(*) FROM old) AS read
    ON CONFLICT (key) DO UPDATE SET tombstone = greatest(r.tombstone, EXCLUDED.tombstone), version = NULL, ends = NULL,
        last_used = NULL, sealed = NULL, summary = NULL, listed = NULL, access = NULL, refresh = NULL, write_id = NULL,
        holder = NULL, lease_until = 0, doubt = false, abandoned = false,
        expires = CASE WHEN r.tombstone IS NULL THEN EXCLUDED.expires ELSE greatest(r.expires, EXCLUDED.expires) END
    RETURNING ",
    notify!("e"),
    ")
SELECT key, version, ends, last_used, sealed, summary, listed, tombstone, access, refresh
FROM old, ended WHERE version IS NOT NULL AND expires > ",
    now!()
);

/// index key → records without their tokens.
pub(super) const LIST: &str = concat!(
    "SELECT key, version, ends, last_used, sealed, summary, listed, tombstone FROM records
WHERE listed @> ARRAY[$1::bytea] AND version IS NOT NULL AND expires > ",
    now!()
);

/// the last key of the page before or null, how many → keys.
pub(super) const KEYS: &str = concat!(
    "SELECT key FROM records WHERE ($1::bytea IS NULL OR key > $1) AND version IS NOT NULL AND expires > ",
    now!(),
    " ORDER BY key LIMIT $2"
);

/// key, milliseconds, who asks → what came of it, and fence or milliseconds to wait, and whether it was abandoned.
pub(super) const LEASE: &str = concat!(
    "WITH taken AS (
    UPDATE records SET fence = greatest(fence + 1, ",
    now_ms!(),
    " * 1000), holder = $3, lease_until = ",
    now_ms!(),
    " + $2, doubt = false, abandoned = holder IS NOT NULL OR doubt
    WHERE key = $1 AND version IS NOT NULL AND expires > ",
    now!(),
    " AND lease_until <= ",
    now_ms!(),
    "
    RETURNING fence, abandoned), seen AS (SELECT * FROM records WHERE key = $1 AND version IS NOT NULL AND expires > ",
    now!(),
    ")
SELECT outcome, number, abandoned FROM (
    SELECT 1 AS nth, 'taken' AS outcome, fence AS number, abandoned FROM taken
    UNION ALL SELECT 2, 'taken', fence, abandoned FROM seen WHERE holder = $3 AND lease_until > ",
    now_ms!(),
    "
    UNION ALL SELECT 3, 'paused', lease_until - ",
    now_ms!(),
    ", false FROM seen WHERE holder IS NULL AND lease_until > ",
    now_ms!(),
    "
    UNION ALL SELECT 4, 'held', 0, false FROM seen
    UNION ALL SELECT 5, 'gone', 0, false) AS outcomes
ORDER BY nth LIMIT 1"
);

/// key, fence, milliseconds → a row if it is still ours. One that was lost with other data is ours again.
pub(super) const EXTEND: &str = concat!(
    "UPDATE records SET fence = $2, holder = coalesce(holder, 'extended'), lease_until = ",
    now_ms!(),
    " + $3
WHERE key = $1 AND version IS NOT NULL AND (fence = $2 AND holder IS NOT NULL OR fence = 0) RETURNING key"
);

/// key, fence, milliseconds of pause or null, whether in doubt.
pub(super) const RELEASE: &str = concat!(
    "UPDATE records SET holder = NULL, lease_until = coalesce(",
    now_ms!(),
    " + $3::bigint, 0), doubt = $4 WHERE key = $1 AND fence = $2 AND holder IS NOT NULL"
);

/// key, until, expires, write id → whether it was not there.
pub(super) const REVOKE: &str = concat!(
    "INSERT INTO revocations AS r (key, until, expires, write_id) VALUES ($1, $2, $3, $4)
ON CONFLICT (key) DO UPDATE SET until = greatest(r.until, $2), expires = greatest(r.expires, $3),
    write_id = CASE WHEN r.expires <= ",
    now!(),
    " THEN $4 ELSE r.write_id END
RETURNING write_id = $4, ",
    notify!("t")
);

/// key → until when it is remembered.
pub(super) const REVOKED_UNTIL: &str = concat!("SELECT until FROM revocations WHERE key = $1 AND expires > ", now!());

/// Removes up to `$1` rows of a table that are over; says how many, and what the third argument counts of them.
macro_rules! sweep {
    ($table:literal, $key:literal, $counted:literal) => {
        concat!(
            "WITH removed AS (DELETE FROM ",
            $table,
            " WHERE ",
            $key,
            " IN (SELECT ",
            $key,
            " FROM ",
            $table,
            " WHERE expires <= ",
            now!(),
            " LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING *) SELECT count(*), ",
            $counted,
            " FROM removed"
        )
    };
}

/// how many → how many rows were removed, and how many of them were records.
pub(super) const SWEEPS: [&str; 3] = [
    sweep!("records", "key", "count(version)"),
    sweep!("revocations", "key", "0::bigint"),
    sweep!("canaries", "process", "0::bigint"),
];
