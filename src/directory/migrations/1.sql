-- What is known of people, by issuer and sub. Never a token. A person who was erased keeps a row without anything of
-- theirs, so that what is still on its way does not bring it back.
CREATE TABLE people (
    issuer text NOT NULL,
    sub text NOT NULL,
    username text NOT NULL,
    email text,
    email_verified boolean NOT NULL DEFAULT false,
    name text,
    groups text[] NOT NULL DEFAULT '{}',
    provider text,
    attributes jsonb NOT NULL DEFAULT '{}',
    legacy_id text,
    created timestamptz NOT NULL,
    -- When something of the row changed last, by the database's clock.
    updated timestamptz NOT NULL DEFAULT now(),
    -- Of when the row tells: what was learned earlier does not replace it.
    observed timestamptz NOT NULL,
    last_seen timestamptz,
    deleted timestamptz,
    PRIMARY KEY (issuer, sub)
);
-- A verified address is one person's.
CREATE UNIQUE INDEX people_email ON people (issuer, lower(email)) WHERE email_verified;
CREATE INDEX people_updated ON people (updated, sub);

CREATE FUNCTION people_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.username, NEW.email, NEW.email_verified, NEW.name, NEW.groups, NEW.provider, NEW.attributes, NEW.deleted)
        IS DISTINCT FROM
        (OLD.username, OLD.email, OLD.email_verified, OLD.name, OLD.groups, OLD.provider, OLD.attributes, OLD.deleted)
    THEN
        NEW.updated := now();
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER people_updated BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION people_updated();

-- How far a synchronisation with the user pool has come.
CREATE TABLE synchronisations (
    issuer text PRIMARY KEY,
    started timestamptz NOT NULL,
    next_page text NOT NULL,
    listed bigint NOT NULL,
    saved timestamptz NOT NULL DEFAULT now()
);

-- What applications may join: people who are there, with the addresses that somebody vouches for.
CREATE VIEW directory AS
    SELECT issuer, sub, username, CASE WHEN email_verified THEN email END AS email, name, groups, provider, legacy_id,
        created, updated, last_seen
    FROM people WHERE deleted IS NULL;
