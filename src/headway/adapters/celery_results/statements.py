"""Every statement about the rows of results. As in ``adapters.statements``: named parameters.

Tables, columns, sequences and what is in them are those of Celery's own database backend (5.7):
whichever of the two stored a result, the other one reads it.
"""

from collections.abc import Mapping

# Of a row, but for its keys: the types are PostgreSQL's.
BRIEF: Mapping[str, str] = {
    "status": "text",
    "result": "bytea",
    "date_done": "timestamp",
    "traceback": "text",
    "children": "bytea",
}
EXTENDED: Mapping[str, str] = {
    **BRIEF,
    "name": "text",
    "args": "bytea",
    "kwargs": "bytea",
    "worker": "text",
    "retries": "integer",
    "queue": "text",
    "stamps": "bytea",
}

# A success stays one, whatever is stored after it, as a task may be delivered twice.
_MAY_CHANGE = "celery_taskmeta.status IS DISTINCT FROM 'SUCCESS'"


def store(dialect: str, columns: Mapping[str, str]) -> str:
    """Insert or change the row of one task."""
    names = ", ".join(columns)
    changes = ", ".join(f"{name} = {_changed(dialect, name, columns)}" for name in columns)
    values = ", ".join(_value(dialect, name, columns) for name in columns)
    if dialect == "sqlite":
        return (
            f"INSERT INTO celery_taskmeta (task_id, {names}) VALUES (:task_id, {values})"
            f" ON CONFLICT (task_id) DO UPDATE SET {changes} WHERE {_MAY_CHANGE}"
        )
    # An INSERT that turns out to be an update has taken a number of the sequence all the same,
    # and the column holds 2,147,483,647: so the update is tried first, in the same statement.
    return (
        f"WITH changed AS (UPDATE celery_taskmeta SET {changes}"
        f" WHERE task_id = :task_id AND {_MAY_CHANGE} RETURNING 1)"
        f" INSERT INTO celery_taskmeta (id, task_id, {names})"
        f" SELECT nextval('task_id_sequence'), :task_id, {values}"
        " WHERE NOT EXISTS (SELECT FROM changed)"
        f" ON CONFLICT (task_id) DO UPDATE SET {changes} WHERE {_MAY_CHANGE}"
    )


def _value(dialect: str, name: str, columns: Mapping[str, str]) -> str:
    return f":{name}" if dialect == "sqlite" else f":{name}::{columns[name]}"


def _changed(dialect: str, name: str, columns: Mapping[str, str]) -> str:
    value = _value(dialect, name, columns)
    if name == "stamps":  # what stamped it once stays
        return f"coalesce({value}, celery_taskmeta.stamps)"
    if name == "date_done":
        # Celery's backend lets SQLAlchemy fill in the time where NULL would follow NULL (observed:
        # STARTED NULL, RETRY a time, STARTED NULL). Readers may have come to depend on it.
        now = ":now" if dialect == "sqlite" else ":now::timestamp"
        return (
            f"CASE WHEN {value} IS NULL AND celery_taskmeta.date_done IS NULL THEN {now}"
            f" ELSE {value} END"
        )
    return value


def read(columns: Mapping[str, str]) -> str:
    return f"SELECT {', '.join(columns)} FROM celery_taskmeta WHERE task_id = :task_id"


FORGET = "DELETE FROM celery_taskmeta WHERE task_id = :task_id"
FORGET_BEFORE = (
    "DELETE FROM celery_taskmeta WHERE date_done < :before",
    "DELETE FROM celery_tasksetmeta WHERE date_done < :before",
)

_STORE_GROUP = """
INSERT INTO celery_tasksetmeta ({id}taskset_id, result, date_done)
VALUES ({next}:group_id, :result, :date_done)
ON CONFLICT (taskset_id) DO UPDATE SET result = excluded.result, date_done = excluded.date_done
"""
STORE_GROUP: Mapping[str, str] = {
    "sqlite": _STORE_GROUP.format(id="", next=""),
    "postgres": _STORE_GROUP.format(id="id, ", next="nextval('taskset_id_sequence'), "),
}
READ_GROUP = "SELECT result, date_done FROM celery_tasksetmeta WHERE taskset_id = :group_id"
FORGET_GROUP = "DELETE FROM celery_tasksetmeta WHERE taskset_id = :group_id"

_INDEXES = (
    "CREATE INDEX IF NOT EXISTS ix_celery_taskmeta_date_done ON celery_taskmeta (date_done)",
    "CREATE INDEX IF NOT EXISTS ix_celery_tasksetmeta_date_done ON celery_tasksetmeta (date_done)",
)
# What an older Celery's table may lack.
_ADDED: Mapping[str, str] = {
    "children": "BYTEA",
    "name": "VARCHAR(155)",
    "args": "BYTEA",
    "kwargs": "BYTEA",
    "worker": "VARCHAR(155)",
    "retries": "INTEGER",
    "queue": "VARCHAR(155)",
    "stamps": "BYTEA",
}
TABLES: Mapping[str, tuple[str, ...]] = {
    "sqlite": (
        "CREATE TABLE IF NOT EXISTS celery_taskmeta (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,"
        " task_id VARCHAR(155), status VARCHAR(50), result BLOB, date_done DATETIME,"
        " traceback TEXT, children BLOB, name VARCHAR(155), args BLOB, kwargs BLOB,"
        " worker VARCHAR(155), retries INTEGER, queue VARCHAR(155), stamps BLOB, UNIQUE (task_id))",
        "CREATE TABLE IF NOT EXISTS celery_tasksetmeta (id INTEGER NOT NULL PRIMARY KEY"
        " AUTOINCREMENT, taskset_id VARCHAR(155), result BLOB, date_done DATETIME,"
        " UNIQUE (taskset_id))",
        *_INDEXES,
    ),
    "postgres": (
        "CREATE SEQUENCE IF NOT EXISTS task_id_sequence",
        "CREATE TABLE IF NOT EXISTS celery_taskmeta (id INTEGER NOT NULL PRIMARY KEY,"
        " task_id VARCHAR(155) UNIQUE, status VARCHAR(50), result BYTEA,"
        " date_done TIMESTAMP WITHOUT TIME ZONE, traceback TEXT, children BYTEA,"
        " name VARCHAR(155), args BYTEA, kwargs BYTEA, worker VARCHAR(155), retries INTEGER,"
        " queue VARCHAR(155), stamps BYTEA)",
        *(
            f"ALTER TABLE celery_taskmeta ADD COLUMN IF NOT EXISTS {name} {kind}"
            for name, kind in _ADDED.items()
        ),
        "CREATE SEQUENCE IF NOT EXISTS taskset_id_sequence",
        "CREATE TABLE IF NOT EXISTS celery_tasksetmeta (id INTEGER NOT NULL PRIMARY KEY,"
        " taskset_id VARCHAR(155) UNIQUE, result BYTEA, date_done TIMESTAMP WITHOUT TIME ZONE)",
        *_INDEXES,
    ),
}
# SQLite adds a column, but not only where it is missing.
COLUMNS_THERE = "SELECT name FROM pragma_table_info('celery_taskmeta')"
ADD_COLUMNS: Mapping[str, str] = {
    name: f"ALTER TABLE celery_taskmeta ADD COLUMN {name} {kind.replace('BYTEA', 'BLOB')}"
    for name, kind in _ADDED.items()
}
MAKING = 4  # beside the store's own, 1 to 3: two who make the tables at once take turns
