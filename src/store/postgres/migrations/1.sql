-- Times are seconds since 1970, of leases milliseconds, of rate limits microseconds.

-- A row for each session and other sealed record. What was ended has a tombstone in its place, and no record: the same row,
-- so that nobody can write a record back beside its tombstone. Tokens are out of line: reading and touching a session leaves
-- them alone.
CREATE TABLE records (
    key bytea PRIMARY KEY,
    version bigint,
    ends bigint,
    last_used bigint,
    sealed bytea,
    summary bytea,
    listed bytea[],
    access bytea,
    refresh bytea,
    write_id text,
    tombstone bigint,
    expires bigint NOT NULL,
    fence bigint NOT NULL DEFAULT 0,
    holder text,
    lease_until bigint NOT NULL DEFAULT 0,
    doubt boolean NOT NULL DEFAULT false,
    abandoned boolean NOT NULL DEFAULT false,
    CHECK ((version IS NULL) <> (tombstone IS NULL))
) WITH (fillfactor = 80, toast_tuple_target = 1024);
ALTER TABLE records ALTER access SET STORAGE EXTERNAL, ALTER refresh SET STORAGE EXTERNAL;
CREATE INDEX records_listed ON records USING gin (listed) WITH (fastupdate = off);
CREATE INDEX records_expires ON records (expires);

CREATE TABLE revocations (
    key bytea PRIMARY KEY,
    until bigint NOT NULL,
    write_id text NOT NULL,
    expires bigint NOT NULL
);
CREATE INDEX revocations_expires ON revocations (expires);

CREATE TABLE rate_limits (
    name text PRIMARY KEY,
    arrival bigint NOT NULL DEFAULT 0,
    rests bigint NOT NULL DEFAULT 0
);

-- The last write that a process saw acknowledged. One that is missing later shows that writes were lost.
CREATE TABLE canaries (
    process text PRIMARY KEY,
    value bigint NOT NULL,
    expires bigint NOT NULL
);

-- Whose records these are, sealed.
CREATE TABLE deployment (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    sealed bytea NOT NULL
);
