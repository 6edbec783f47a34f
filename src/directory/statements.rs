//! What the database does in one statement, and so in one transaction.

/// issuer, sub, username, email, whether it is verified or null, name, groups, provider, attributes, whether these are all, legacy
/// id, when it was so, whether the person was here → who had the same verified address,
/// and what became of the row: new, changed, same.
///
/// What was learned earlier than what the row tells changes nothing. Of two people with one verified address, who was
/// vouched for last has it, and the other's is no longer verified: a mailbox that was given to somebody else must not lead
/// to what its former owner wrote.
pub(super) const RECORD: &str = "
WITH current AS (
    SELECT NOT EXISTS (SELECT FROM people WHERE issuer = $1::text AND sub = $2::text
        AND (observed > $12::timestamptz OR deleted >= $12)) AS is_latest),
claim AS (
    SELECT is_latest AND coalesce($5::bool, false) AND NOT EXISTS (SELECT FROM people WHERE issuer = $1 AND lower(email) = lower($4::text)
        AND email_verified AND sub <> $2 AND observed > $12) AS is_verified
    FROM current),
moved AS (
    UPDATE people SET email_verified = false
    WHERE issuer = $1 AND lower(email) = lower($4) AND email_verified AND sub <> $2 AND (SELECT is_verified FROM claim)
    RETURNING sub),
written AS (
    INSERT INTO people AS p (issuer, sub, username, email, email_verified, name, groups, provider, attributes, legacy_id,
        created, observed, last_seen)
    SELECT $1, $2, $3::text, $4, is_verified AND (SELECT count(*) FROM moved) >= 0, $6::text, coalesce($7::text[], '{}'),
        $8::text, $9::text::jsonb, $11::text, $12, $12, CASE WHEN $13::bool THEN $12 END
    FROM current, claim WHERE is_latest
    ON CONFLICT (issuer, sub) DO UPDATE SET
        username = excluded.username,
        email = CASE WHEN $4 IS NULL AND NOT $10::bool THEN p.email ELSE $4 END,
        email_verified = CASE WHEN $4 IS NULL AND NOT $10 THEN p.email_verified
            WHEN $5 IS NULL THEN p.email_verified AND lower(p.email) = lower($4) ELSE excluded.email_verified END,
        name = CASE WHEN $10 THEN $6 ELSE coalesce($6, p.name) END,
        groups = coalesce($7, p.groups),
        provider = coalesce($8, p.provider),
        attributes = CASE WHEN $10 THEN excluded.attributes ELSE p.attributes || excluded.attributes END,
        legacy_id = CASE WHEN $10 THEN $11 ELSE coalesce($11, p.legacy_id) END,
        observed = excluded.observed,
        last_seen = greatest(p.last_seen, excluded.last_seen),
        deleted = NULL
    WHERE p.observed <= excluded.observed AND (p.deleted IS NULL OR p.deleted < excluded.observed)
    RETURNING CASE WHEN xmax = 0 THEN 'new' WHEN updated = now() THEN 'changed' ELSE 'same' END AS change)
SELECT ARRAY(SELECT sub FROM moved), coalesce((SELECT change FROM written), 'same')";

/// What a row is read as.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT sub, username, email, email_verified, name, groups, provider, attributes::text, created, updated, ",
            "last_seen, deleted FROM people WHERE issuer = $1 AND ",
            $rest
        )
    };
}

/// issuer, sub → the person.
pub(super) const BY_SUB: &str = select!("sub = $2 AND deleted IS NULL");

/// issuer, address → who has it, vouched for.
pub(super) const BY_EMAIL: &str = select!("lower(email) = lower($2) AND email_verified AND deleted IS NULL");

/// issuer, time and sub after which the page begins, how many → the next that changed, those that were erased among them.
/// What changed in the last seconds is left for later: a change that is not committed yet may be older.
pub(super) const CHANGED: &str =
    select!("(updated, sub) > ($2, $3) AND updated < now() - interval '3 seconds' ORDER BY updated, sub LIMIT $4");

/// issuer, sub, now → a row if there was something to erase. This alone has to outlive a crash of the server.
pub(super) const ERASE: &str = "
WITH durable AS MATERIALIZED (SELECT set_config('synchronous_commit', 'on', true) AS commit)
UPDATE people SET username = '', email = NULL, email_verified = false, name = NULL, groups = '{}', provider = NULL,
    attributes = '{}', legacy_id = NULL, last_seen = NULL, observed = greatest(observed, $3), deleted = $3
FROM durable WHERE durable.commit = 'on' AND issuer = $1 AND sub = $2 AND deleted IS NULL RETURNING sub";

/// issuer, time → sub and username of those of whom nothing was learned since then.
pub(super) const NOT_OBSERVED_SINCE: &str =
    "SELECT sub, username FROM people WHERE issuer = $1 AND deleted IS NULL AND observed < $2 ORDER BY sub";

/// issuer, how old at most (seconds) → when the synchronisation began, its next page, how many were listed.
pub(super) const RESUME: &str = "
SELECT started, next_page, listed FROM synchronisations
WHERE issuer = $1 AND saved > now() - make_interval(secs => $2)";

/// issuer, begin, next page, how many were listed.
pub(super) const SAVE: &str = "
INSERT INTO synchronisations AS s (issuer, started, next_page, listed) VALUES ($1, $2, $3, $4)
ON CONFLICT (issuer) DO UPDATE SET started = $2, next_page = $3, listed = $4, saved = now()";

/// issuer.
pub(super) const FINISH: &str = "DELETE FROM synchronisations WHERE issuer = $1";
