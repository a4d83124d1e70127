-- Runs of a core, their locks, the lease of who carries them out, tokens of the API.

ALTER TABLE runs ADD COLUMN core INTEGER NOT NULL DEFAULT 0;  -- 1: carried out by a core
ALTER TABLE runs ADD COLUMN group_name TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN idempotency_key TEXT;  -- by which it was asked for
CREATE INDEX runs_of_group ON runs (group_name, began_us);
CREATE UNIQUE INDEX one_run_a_key ON runs (idempotency_key) WHERE idempotency_key IS NOT NULL;
-- A core looks here several times a second. A beat changes none of these columns.
CREATE INDEX runs_of_core ON runs (host, no)
    WHERE core AND state IN ('queued', 'running', 'interrupted');
CREATE INDEX requests_unanswered ON requests (id) WHERE answer IS NULL;

CREATE TABLE locks (
    ticket INTEGER PRIMARY KEY AUTOINCREMENT,  -- the smallest of a tag has the lock
    tag TEXT NOT NULL,
    run INTEGER NOT NULL REFERENCES runs (no),
    at_us INTEGER NOT NULL           -- when it was taken, by this database's clock
);
CREATE UNIQUE INDEX one_ticket_a_tag ON locks (run, tag);
CREATE INDEX tickets_of_tag ON locks (tag, ticket);

CREATE TRIGGER tickets_stay_as_taken BEFORE UPDATE ON locks
BEGIN SELECT RAISE(ABORT, 'a ticket is not changed'); END;

CREATE TABLE leases (
    name TEXT PRIMARY KEY NOT NULL,
    host TEXT, pid INTEGER, started TEXT, boot TEXT,  -- who holds it; NULL when nobody does
    epoch INTEGER NOT NULL,          -- how often it was taken
    seen_us INTEGER NOT NULL         -- when it was last renewed, by this database's clock
);

CREATE TRIGGER leases_stay BEFORE DELETE ON leases
BEGIN SELECT RAISE(ABORT, 'a lease is not deleted'); END;

CREATE TRIGGER leases_go_on BEFORE UPDATE ON leases
WHEN NEW.name <> OLD.name OR NEW.epoch < OLD.epoch
BEGIN SELECT RAISE(ABORT, 'the epochs of a lease only grow'); END;

CREATE TABLE tokens (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE,     -- never the token itself
    groups TEXT NOT NULL,            -- JSON: names, or "*"
    environments TEXT NOT NULL,      -- JSON: names, or "*"
    who TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    expires_us INTEGER,
    revoked_us INTEGER
);

CREATE TRIGGER tokens_stay BEFORE DELETE ON tokens
BEGIN SELECT RAISE(ABORT, 'a token is not deleted'); END;

CREATE TRIGGER tokens_stay_as_made BEFORE UPDATE ON tokens
WHEN OLD.revoked_us IS NOT NULL
     OR (NEW.id, NEW.name, NEW.digest, NEW.groups, NEW.environments, NEW.who, NEW.at_us)
        <> (OLD.id, OLD.name, OLD.digest, OLD.groups, OLD.environments, OLD.who, OLD.at_us)
     OR NEW.expires_us IS NOT OLD.expires_us
BEGIN SELECT RAISE(ABORT, 'a token is not changed, only revoked'); END;
