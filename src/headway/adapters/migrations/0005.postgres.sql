-- Which workers are there, as they say themselves and a core wrote it down; a quick way to which
-- runs are paused; the token that a run was asked for with.

CREATE TABLE workers (
    queue text COLLATE "C" NOT NULL,
    worker text COLLATE "C" NOT NULL,  -- the process, as in its claims
    state text NOT NULL,             -- serving, leaving or left
    number bigint NOT NULL,          -- of its message; a later one takes the place of this
    presence text NOT NULL,          -- the message, JSON
    seen_us bigint NOT NULL,         -- when it came, by this database's clock
    lost_us bigint NOT NULL,         -- when the worker is lost, unless it is heard of before
    PRIMARY KEY (queue, worker)
);

-- Few rows of a journal, which a list of runs looks at.
CREATE INDEX pausings_of_run ON events (run, seq) WHERE kind IN
    ('run-paused', 'run-unpaused', 'run-cancelled', 'run-resumed', 'run-retried', 'run-ended');

ALTER TABLE runs ADD COLUMN token text;  -- by its id; NULL: it was asked for without one
