-- The tables of Celery's results, and a role that may write results and nothing else.
--
-- Run by the owner of the database, as often as you like:
--
--     psql -v ON_ERROR_STOP=1 -v role=cadasta -f result_tables.sql DATABASE
--
-- The tables, columns and sequences are those that Celery would make itself, so that it finds them
-- and needs no right to. The role has no password yet: \password in psql gives it one.

BEGIN;
SET LOCAL client_min_messages = warning;  -- not: that this or that exists already

CREATE SEQUENCE IF NOT EXISTS task_id_sequence;
CREATE TABLE IF NOT EXISTS celery_taskmeta (
    id INTEGER NOT NULL PRIMARY KEY,
    task_id VARCHAR(155) UNIQUE,
    status VARCHAR(50),
    result BYTEA,
    date_done TIMESTAMP WITHOUT TIME ZONE,
    traceback TEXT,
    children BYTEA,
    name VARCHAR(155),
    args BYTEA,
    kwargs BYTEA,
    worker VARCHAR(155),
    retries INTEGER,
    queue VARCHAR(155),
    stamps BYTEA
);
-- A table that an older Celery made may lack these; the role may not add them.
ALTER TABLE celery_taskmeta
    ADD COLUMN IF NOT EXISTS children BYTEA,
    ADD COLUMN IF NOT EXISTS name VARCHAR(155),
    ADD COLUMN IF NOT EXISTS args BYTEA,
    ADD COLUMN IF NOT EXISTS kwargs BYTEA,
    ADD COLUMN IF NOT EXISTS worker VARCHAR(155),
    ADD COLUMN IF NOT EXISTS retries INTEGER,
    ADD COLUMN IF NOT EXISTS queue VARCHAR(155),
    ADD COLUMN IF NOT EXISTS stamps BYTEA;
CREATE INDEX IF NOT EXISTS ix_celery_taskmeta_date_done ON celery_taskmeta (date_done);

-- Celery looks for the table of groups at its first result, and would make it if it were missing.
CREATE SEQUENCE IF NOT EXISTS taskset_id_sequence;
CREATE TABLE IF NOT EXISTS celery_tasksetmeta (
    id INTEGER NOT NULL PRIMARY KEY,
    taskset_id VARCHAR(155) UNIQUE,
    result BYTEA,
    date_done TIMESTAMP WITHOUT TIME ZONE
);
CREATE INDEX IF NOT EXISTS ix_celery_tasksetmeta_date_done ON celery_tasksetmeta (date_done);

SELECT format('CREATE ROLE %I LOGIN', :'role')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role')
\gexec

GRANT SELECT, INSERT, UPDATE ON celery_taskmeta TO :"role";
GRANT USAGE ON SEQUENCE task_id_sequence TO :"role";

COMMIT;
