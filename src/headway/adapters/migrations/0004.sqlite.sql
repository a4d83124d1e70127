-- Celery tasks as the monitor has heard of them, and messages of which nothing can be made.

CREATE TABLE tasks (
    id TEXT PRIMARY KEY NOT NULL,
    -- What was sent, as the message or event says that knows best.
    retries INTEGER NOT NULL,
    nesting INTEGER NOT NULL,        -- how often another task took its place, under the same id
    told_by INTEGER NOT NULL,        -- 3 the message, 2 its sender's event, 1 its receiver's
    name TEXT,
    queue TEXT,
    root TEXT,
    group_id TEXT,
    args TEXT,
    kwargs TEXT,
    form TEXT,                       -- of both: json, repr, or why they are not here
    eta_us INTEGER,
    expires_us INTEGER,
    origin TEXT,
    extra TEXT,                      -- JSON: headers that are not Celery's own
    body_bytes INTEGER,
    parent TEXT,                     -- the task that sent it
    -- When
    sent_us INTEGER,
    heard_us INTEGER,                -- by the monitor
    received_us INTEGER,
    started_us INTEGER,
    retried_us INTEGER,
    revoked_us INTEGER,
    worker_us INTEGER, worker TEXT,  -- the last that was heard of in this matter
    -- How it ended, as its worker's event tells
    finality INTEGER NOT NULL,       -- 4 succeeded, 3 failed, 2 revoked, 1 rejected, 0 not yet
    ended_us INTEGER,
    runtime_us INTEGER,
    result TEXT,
    error TEXT,
    -- Worked out of the others, to search by
    state TEXT NOT NULL,
    progress_us INTEGER NOT NULL,    -- when it got there, as long as it has not ended
    at_us INTEGER NOT NULL           -- when it was sent, as near as is known
);
CREATE INDEX tasks_by_age ON tasks (at_us);
CREATE INDEX tasks_by_name ON tasks (name, at_us);
CREATE INDEX tasks_of_root ON tasks (root);

CREATE TABLE dead_letters (
    no INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,     -- the same message again is the same letter
    at_us INTEGER NOT NULL,
    kind TEXT NOT NULL,              -- task or event
    reason TEXT NOT NULL,
    key TEXT NOT NULL,               -- the routing key
    headers TEXT NOT NULL,           -- as Python writes them, cut
    body TEXT NOT NULL,              -- its beginning, escaped
    body_bytes INTEGER NOT NULL
);
