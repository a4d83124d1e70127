-- Runs, their journals, output and requests. Moments are microseconds of UTC since 1970.
-- JSON is kept as text: it is read whole by who wrote it, and text refuses nothing that JSON allows.

CREATE TABLE runs (
    no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    state text NOT NULL,
    launch text NOT NULL,            -- JSON: how it was started
    plan text NOT NULL,              -- JSON
    jobs integer NOT NULL,
    began_us bigint NOT NULL,
    ended_us bigint,
    host text, pid integer, started text, boot text,  -- the owner; NULL when nobody works on it
    epoch integer NOT NULL,          -- how often it was taken up; every write carries it
    lap integer NOT NULL,            -- 1, and 1 more for each retry
    seen_us bigint NOT NULL          -- when the owner was last heard of, by this database's clock
) WITH (fillfactor = 50);            -- a beat then changes its row in place
CREATE INDEX runs_by_age ON runs (began_us);

CREATE TABLE events (
    run bigint NOT NULL REFERENCES runs (no),
    seq bigint NOT NULL,
    at_us bigint NOT NULL,
    kind text NOT NULL,
    job integer,                     -- the key in the run's plan
    try integer,
    lap integer NOT NULL,
    body text,                       -- JSON, or NULL for nothing more to say
    PRIMARY KEY (run, seq)
);

-- One end a try, one success a job (in each lap): by index, not by code that hopes.
CREATE UNIQUE INDEX one_end_a_try ON events (run, job, try)
    WHERE kind IN ('passed', 'repaired', 'failed', 'overdue', 'in doubt');
CREATE UNIQUE INDEX one_success_a_job ON events (run, job, lap)
    WHERE kind IN ('passed', 'repaired');

CREATE FUNCTION events_stay_as_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a journal is not changed' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER events_stay_as_written BEFORE UPDATE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_stay_as_written();

CREATE FUNCTION events_go_with_their_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM gone JOIN runs ON no = gone.run WHERE state <> 'pruned') THEN
        RAISE EXCEPTION 'events are deleted only with their run'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER events_go_with_their_run AFTER DELETE ON events
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION events_go_with_their_run();

-- A text in a JSON text; NULL where there is none, or one that PostgreSQL cannot hold.
CREATE FUNCTION text_in(body text, VARIADIC path text[]) RETURNS text
    LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN body::json #>> path;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;

-- What can be worked out of the journal is not stored again.
CREATE VIEW tries AS
    SELECT runs.id AS run, events.job, events.try, events.lap, events.kind AS ending,
           events.at_us AS ended_us, text_in(events.body, 'began_us')::bigint AS began_us,
           text_in(events.body, 'failure', 'message') AS message
    FROM events JOIN runs ON runs.no = events.run
    WHERE events.kind IN ('passed', 'repaired', 'failed', 'overdue', 'in doubt');

CREATE TABLE output (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run bigint NOT NULL REFERENCES runs (no),
    job integer NOT NULL,
    try integer NOT NULL,
    at_us bigint NOT NULL,
    stream text NOT NULL,
    text text NOT NULL,
    lost integer NOT NULL DEFAULT 0  -- lines that were not kept here
);
CREATE INDEX output_of_run ON output (run, id);

CREATE TABLE requests (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run bigint NOT NULL REFERENCES runs (no),
    verb text NOT NULL,
    args text NOT NULL,              -- JSON
    who text NOT NULL,
    at_us bigint NOT NULL,
    answered_us bigint,
    answer text
);
CREATE INDEX requests_of_run ON requests (run);
CREATE INDEX requests_open ON requests (run) WHERE answer IS NULL;
