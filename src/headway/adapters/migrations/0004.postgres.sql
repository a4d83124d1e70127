-- Celery tasks as the monitor has heard of them, and messages of which nothing can be made.

CREATE TABLE tasks (
    id text COLLATE "C" PRIMARY KEY,
    -- What was sent, as the message or event says that knows best.
    retries integer NOT NULL,
    nesting integer NOT NULL,        -- how often another task took its place, under the same id
    told_by smallint NOT NULL,       -- 3 the message, 2 its sender's event, 1 its receiver's
    name text COLLATE "C",
    queue text,
    root text COLLATE "C",
    group_id text,
    args text,
    kwargs text,
    form text,                       -- of both: json, repr, or why they are not here
    eta_us bigint,
    expires_us bigint,
    origin text,
    extra text,                      -- JSON: headers that are not Celery's own
    body_bytes bigint,
    parent text,                     -- the task that sent it
    -- When
    sent_us bigint,
    heard_us bigint,                 -- by the monitor
    received_us bigint,
    started_us bigint,
    retried_us bigint,
    revoked_us bigint,
    worker_us bigint, worker text,   -- the last that was heard of in this matter
    -- How it ended, as its worker's event tells
    finality smallint NOT NULL,      -- 4 succeeded, 3 failed, 2 revoked, 1 rejected, 0 not yet
    ended_us bigint,
    runtime_us bigint,
    result text,
    error text,
    -- Worked out of the others, to search by
    state text NOT NULL,
    progress_us bigint NOT NULL,     -- when it got there, as long as it has not ended
    at_us bigint NOT NULL            -- when it was sent, as near as is known
) WITH (fillfactor = 70);            -- what its worker tells then changes a row in place
CREATE INDEX tasks_by_age ON tasks (at_us);
CREATE INDEX tasks_by_name ON tasks (name, at_us);
CREATE INDEX tasks_of_root ON tasks (root);

CREATE TABLE dead_letters (
    no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest text NOT NULL UNIQUE,     -- the same message again is the same letter
    at_us bigint NOT NULL,
    kind text NOT NULL,              -- task or event
    reason text NOT NULL,
    key text NOT NULL,               -- the routing key
    headers text NOT NULL,           -- as Python writes them, cut
    body text NOT NULL,              -- its beginning, escaped
    body_bytes bigint NOT NULL
);
