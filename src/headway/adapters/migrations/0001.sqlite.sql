-- Runs, their journals, output and requests. Moments are microseconds of UTC since 1970.

CREATE TABLE runs (
    no INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again, not even after a prune
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    launch TEXT NOT NULL,            -- JSON: how it was started
    plan TEXT NOT NULL,              -- JSON
    jobs INTEGER NOT NULL,
    began_us INTEGER NOT NULL,
    ended_us INTEGER,
    host TEXT, pid INTEGER, started TEXT, boot TEXT,  -- the owner; NULL when nobody works on it
    epoch INTEGER NOT NULL,          -- how often it was taken up; every write carries it
    lap INTEGER NOT NULL,            -- 1, and 1 more for each retry
    seen_us INTEGER NOT NULL         -- when the owner was last heard of, by this database's clock
);
CREATE INDEX runs_by_age ON runs (began_us);

CREATE TABLE events (
    run INTEGER NOT NULL REFERENCES runs (no),
    seq INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    kind TEXT NOT NULL,
    job INTEGER,                     -- the key in the run's plan
    try INTEGER,
    lap INTEGER NOT NULL,
    body TEXT,                       -- JSON, or NULL for nothing more to say
    PRIMARY KEY (run, seq)
) WITHOUT ROWID;

-- One end a try, one success a job (in each lap): by index, not by code that hopes.
CREATE UNIQUE INDEX one_end_a_try ON events (run, job, try)
    WHERE kind IN ('passed', 'repaired', 'failed', 'overdue', 'in doubt');
CREATE UNIQUE INDEX one_success_a_job ON events (run, job, lap)
    WHERE kind IN ('passed', 'repaired');

CREATE TRIGGER events_stay_as_written BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'a journal is not changed'); END;

CREATE TRIGGER events_go_with_their_run BEFORE DELETE ON events
WHEN EXISTS (SELECT 1 FROM runs WHERE no = OLD.run AND state <> 'pruned')
BEGIN SELECT RAISE(ABORT, 'events are deleted only with their run'); END;

-- What can be worked out of the journal is not stored again.
CREATE VIEW tries AS
    SELECT runs.id AS run, events.job, events.try, events.lap, events.kind AS ending,
           events.at_us AS ended_us,
           CASE WHEN json_valid(body) THEN json_extract(body, '$.began_us') END AS began_us,
           CASE WHEN NOT json_valid(body) THEN NULL
                -- Half a character, alone, would make the row unreadable: it stays as written.
                WHEN instr(body, '\ud') THEN json_extract(body, '$.failure')
                ELSE json_extract(body, '$.failure.message') END AS message
    FROM events JOIN runs ON runs.no = events.run
    WHERE events.kind IN ('passed', 'repaired', 'failed', 'overdue', 'in doubt');

CREATE TABLE output (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (no),
    job INTEGER NOT NULL,
    try INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    stream TEXT NOT NULL,
    text TEXT NOT NULL,
    lost INTEGER NOT NULL DEFAULT 0  -- lines that were not kept here
);
CREATE INDEX output_of_run ON output (run, id);

CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL REFERENCES runs (no),
    verb TEXT NOT NULL,
    args TEXT NOT NULL,              -- JSON
    who TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    answered_us INTEGER,
    answer TEXT
);
CREATE INDEX requests_of_run ON requests (run);
CREATE INDEX requests_open ON requests (run) WHERE answer IS NULL;
