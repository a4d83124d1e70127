-- Runs of a core, their locks, the lease of who carries them out, tokens of the API.

ALTER TABLE runs
    ADD COLUMN core boolean NOT NULL DEFAULT false,            -- carried out by a core
    ADD COLUMN group_name text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN idempotency_key text COLLATE "C";               -- by which it was asked for
CREATE INDEX runs_of_group ON runs (group_name, began_us);
CREATE UNIQUE INDEX one_run_a_key ON runs (idempotency_key) WHERE idempotency_key IS NOT NULL;
-- A core looks here several times a second. A beat changes none of these columns.
CREATE INDEX runs_of_core ON runs (host, no)
    WHERE core AND state IN ('queued', 'running', 'interrupted');
CREATE INDEX requests_unanswered ON requests (id) WHERE answer IS NULL;

CREATE TABLE locks (
    ticket bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- the smallest of a tag has the lock
    tag text COLLATE "C" NOT NULL,
    run bigint NOT NULL REFERENCES runs (no),
    at_us bigint NOT NULL            -- when it was taken, by this database's clock
);
CREATE UNIQUE INDEX one_ticket_a_tag ON locks (run, tag);
CREATE INDEX tickets_of_tag ON locks (tag, ticket);

CREATE FUNCTION tickets_stay_as_taken() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a ticket is not changed' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER tickets_stay_as_taken BEFORE UPDATE ON locks
    FOR EACH STATEMENT EXECUTE FUNCTION tickets_stay_as_taken();

CREATE TABLE leases (
    name text COLLATE "C" PRIMARY KEY,
    host text, pid integer, started text, boot text,  -- who holds it; NULL when nobody does
    epoch integer NOT NULL,          -- how often it was taken
    seen_us bigint NOT NULL          -- when it was last renewed, by this database's clock
);

CREATE FUNCTION leases_go_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the epochs of a lease only grow'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER leases_stay BEFORE DELETE OR TRUNCATE ON leases
    FOR EACH STATEMENT EXECUTE FUNCTION leases_go_on();
CREATE TRIGGER leases_go_on BEFORE UPDATE ON leases FOR EACH ROW
    WHEN (NEW.name <> OLD.name OR NEW.epoch < OLD.epoch)
    EXECUTE FUNCTION leases_go_on();

CREATE TABLE tokens (
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    digest text COLLATE "C" NOT NULL UNIQUE,  -- never the token itself
    groups text NOT NULL,            -- JSON: names, or "*"
    environments text NOT NULL,      -- JSON: names, or "*"
    who text NOT NULL,
    at_us bigint NOT NULL,
    expires_us bigint,
    revoked_us bigint
);

CREATE FUNCTION tokens_stay_as_made() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a token is not changed, only revoked'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER tokens_stay BEFORE DELETE OR TRUNCATE ON tokens
    FOR EACH STATEMENT EXECUTE FUNCTION tokens_stay_as_made();
CREATE TRIGGER tokens_stay_as_made BEFORE UPDATE ON tokens FOR EACH ROW
    WHEN (OLD.revoked_us IS NOT NULL
          OR (NEW.id, NEW.name, NEW.digest, NEW.groups, NEW.environments, NEW.who, NEW.at_us)
             <> (OLD.id, OLD.name, OLD.digest, OLD.groups, OLD.environments, OLD.who, OLD.at_us)
          OR NEW.expires_us IS DISTINCT FROM OLD.expires_us)
    EXECUTE FUNCTION tokens_stay_as_made();
