"""Every statement about tasks and their results. As in ``statements``: named parameters."""

from collections.abc import Mapping

from headway.adapters.statements import Batch, Insert
from headway.tracking.results import MOMENTS, RESULT_BYTES
from headway.tracking.states import CELERYS, FINALITY, TaskState
from headway.tracking.task import Task

# The columns are the fields of a record; "group" is a word of SQL's.
COLUMNS = tuple("group_id" if name == "group" else name for name in Task._fields)
TASKS = Insert("tasks", (*COLUMNS, "state", "progress_us", "at_us"))
_COLUMNS = ", ".join(f"tasks.{name}" for name in COLUMNS)

_TYPES = ["bigint" if "int" in str(kind) else "text" for kind in Task.__annotations__.values()]
_CHANGES = ", ".join(f"{name} = {{{name}}}" for name in TASKS.columns[1:])
CHANGE_TASKS = Batch(
    f"UPDATE tasks SET {_CHANGES} {{from}} WHERE tasks.id = {{id}}",
    tuple(zip(TASKS.columns, (*_TYPES, "text", "bigint", "bigint"), strict=True)),
)

# Two writers at once would each miss what the other one is about to write: they take turns.
RECORDING = 3  # beside the store's own, 1 and 2
KNOWN: Mapping[str, str] = {
    "sqlite": f"SELECT {_COLUMNS} FROM tasks WHERE id IN (SELECT value FROM json_each(:ids))",
    "postgres": (
        f"SELECT {_COLUMNS} FROM tasks"
        " WHERE id IN (SELECT json_array_elements_text(CAST(:ids AS json)))"
    ),
}
ADD_LETTER = """
INSERT INTO dead_letters (digest, at_us, kind, reason, key, headers, body, body_bytes)
VALUES (:digest, :at_us, :kind, :reason, :key, :headers, :body, :body_bytes)
ON CONFLICT (digest) DO NOTHING
"""
LETTERS = (
    "SELECT digest, at_us, kind, reason, key, headers, body, body_bytes FROM dead_letters"
    " WHERE at_us < :before ORDER BY at_us DESC, no DESC LIMIT :limit"
)

# Celery makes this table when the first result is stored; it is only ever read here.
HAS_RESULTS: Mapping[str, str] = {
    "sqlite": "SELECT count(*) FROM sqlite_master WHERE name = 'celery_taskmeta'",
    "postgres": "SELECT count(to_regclass('celery_taskmeta'))",
}
# In UTC without saying so; to the microsecond. Whoever may store results may store a time that is
# none, or in no year that can be written: it counts as not known.
_SANE = "results.date_done BETWEEN '0001-01-02' AND '9999-12-30'"
_DONE: Mapping[str, str] = {
    "sqlite": (
        f"(CASE WHEN {_SANE}"
        " THEN CAST(strftime('%s', substr(results.date_done, 1, 19)) AS INTEGER) * 1000000"
        " + CAST(substr(results.date_done || '000000', 21, 6) AS INTEGER) END)"
    ),
    "postgres": (
        f"(CASE WHEN {_SANE}"
        " THEN CAST(extract(epoch FROM results.date_done) * 1000000 AS bigint) END)"
    ),
}
_SIZE: Mapping[str, str] = {
    "sqlite": "length(CAST(results.result AS BLOB))",
    "postgres": "octet_length(results.result)",
}
_JOIN = " LEFT JOIN celery_taskmeta AS results ON results.task_id = tasks.id"
_NO_RESULT = "NULL, NULL, NULL, NULL, 0"


def result_of(dialect: str) -> str:
    """Of one task, all of it."""
    return f"SELECT {_result(dialect)} FROM celery_taskmeta AS results WHERE task_id = :id"


def _result(dialect: str) -> str:
    size = _SIZE[dialect]
    value = f"CASE WHEN {size} <= {RESULT_BYTES} THEN results.result END"
    return f"results.status, {_DONE[dialect]}, {value}, results.traceback, {size}"


def selection(dialect: str, conditions: list[str], order: str, *, with_results: bool) -> str:
    """Tasks with the states of their results, but without what these hold."""
    brief = f"results.status, {_DONE[dialect]}, NULL, NULL, 0" if with_results else _NO_RESULT
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    joined = _JOIN if with_results else ""
    return f"SELECT {_COLUMNS}, {brief} FROM tasks{joined}{where} ORDER BY {order} LIMIT :limit"


def state(dialect: str, *, with_results: bool) -> str:
    """``tracking.results.Seen.state`` in SQL; the contract holds both to each other."""
    if not with_results:
        return "tasks.state"
    told = _cases({word: f"'{state}'" for word, state in CELERYS.items()}, "'started'")
    finality = _cases(
        {word: str(FINALITY[state]) for word, state in CELERYS.items() if state in FINALITY}, "0"
    )
    before_work = ", ".join(
        f"'{s}'" for s in (TaskState.UNKNOWN, TaskState.SENT, TaskState.RECEIVED)
    )
    done = _DONE[dialect]
    return (
        "CASE WHEN results.status IS NULL OR results.status = 'PENDING' THEN tasks.state"
        f" WHEN {finality} > 0 OR tasks.finality > 0 THEN"
        f" CASE WHEN {finality} >= tasks.finality THEN {told} ELSE tasks.state END"
        f" WHEN {done} IS NULL THEN"
        f" CASE WHEN tasks.state IN ({before_work}) THEN {told} ELSE tasks.state END"
        f" WHEN {done} >= tasks.progress_us THEN {told} ELSE tasks.state END"
    )


def _cases(values: Mapping[str, str], otherwise: str) -> str:
    cases = " ".join(f"WHEN '{word}' THEN {value}" for word, value in values.items())
    return f"(CASE results.status {cases} ELSE {otherwise} END)"


# The one after which tasks, or letters, are so new that they stay.
NEWEST_TASKS = "SELECT at_us, id FROM tasks ORDER BY at_us DESC, id DESC LIMIT 1 OFFSET :skip"
NEWEST_LETTERS = "SELECT no FROM dead_letters ORDER BY no DESC LIMIT 1 OFFSET :skip"
FORGET_LETTERS = """
DELETE FROM dead_letters WHERE no IN (
    SELECT no FROM dead_letters WHERE at_us < :before AND no < :kept ORDER BY no LIMIT :limit
)
"""
_LATEST: Mapping[str, str] = {"sqlite": "max", "postgres": "greatest"}


def forgetting(dialect: str, *, with_results: bool) -> str:
    """Deletes old tasks from a place on, and tells the place of each; see ``Tasks.forget``."""
    moments = [f"coalesce(tasks.{name}, 0)" for name in MOMENTS]
    if with_results:
        moments.append(f"coalesce({_DONE[dialect]}, 0)")
    last = f"{_LATEST[dialect]}({', '.join(moments)})"
    over = ", ".join(f"'{one}'" for one in FINALITY)
    return (
        "DELETE FROM tasks WHERE id IN ("
        f"SELECT tasks.id FROM tasks{_JOIN if with_results else ''}"
        " WHERE tasks.at_us < :before AND (tasks.at_us, tasks.id) > (:after_us, :after_id)"
        " AND (tasks.at_us, tasks.id) < (:kept_us, :kept_id)"
        f" AND CASE WHEN {state(dialect, with_results=with_results)} IN ({over})"
        f" THEN {last} < :ended_before"
        f" ELSE {last} < :silent_before AND coalesce(tasks.eta_us, 0) < :silent_before END"
        " ORDER BY tasks.at_us, tasks.id LIMIT :limit"
        ") RETURNING at_us, id"
    )
