"""Every statement the store makes. Named parameters; each driver turns them into its own form.

``{now}`` is the database's own clock in microseconds of UTC since 1970; the driver says how.
"""

from functools import cache
from typing import NamedTuple


class Insert(NamedTuple):
    """Many rows into a table. Each driver has its own fast way."""

    table: str
    columns: tuple[str, ...]


class Batch(NamedTuple):
    """One statement about many rows of values. Each driver has its own fast way.

    ``{name}`` stands for a value of the row; ``{from}`` for the clause that makes a table of many
    rows, or for nothing when there is one.
    """

    sql: str
    columns: tuple[tuple[str, str], ...]  # names and types


# The owner of a core's run does not beat: while it holds the lease, that speaks for it.
_SEEN_US = """
CASE WHEN core THEN coalesce((
    SELECT leases.seen_us FROM leases
    WHERE leases.name = 'core' AND leases.host = runs.host AND leases.pid = runs.pid
          AND leases.started = runs.started AND leases.boot = runs.boot
), seen_us) ELSE seen_us END
"""
RUN_COLUMNS = (
    "id, state, launch, began_us, ended_us, host, pid, started, boot, epoch, lap, jobs,"
    f" ({{now}} - {_SEEN_US}), core, token"
)

BEGIN_RUN = """
INSERT INTO runs (id, state, launch, plan, jobs, began_us, host, pid, started, boot,
                  epoch, lap, seen_us, group_name, token)
VALUES (:id, 'running', :launch, :plan, :jobs, :at_us, :host, :pid, :started, :boot,
        1, 1, {now}, :group, :token)
RETURNING no
"""
# No row: another run has the key.
ENQUEUE_RUN = """
INSERT INTO runs (id, state, launch, plan, jobs, began_us, epoch, lap, seen_us, group_name, core,
                  idempotency_key, token)
VALUES (:id, 'queued', :launch, :plan, :jobs, :at_us, 0, 1, {now}, :group, true, :key, :token)
ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
RETURNING no
"""
RUN_WITH_KEY = "SELECT id FROM runs WHERE idempotency_key = :key"

TAKE_RUN = """
UPDATE runs SET state = 'running', ended_us = NULL, host = :host, pid = :pid,
       started = :started, boot = :boot, epoch = epoch + 1, lap = lap + :laps, seen_us = {now}
WHERE id = :id AND epoch = :epoch AND state <> 'pruned'
RETURNING no, launch
"""
RELEASE_RUN = """
UPDATE runs SET host = NULL, pid = NULL, started = NULL, boot = NULL, seen_us = {now}
WHERE id = :id AND epoch = :epoch AND host IS NOT NULL
"""

# Every write of an owner begins with one of these: no row, no right.
HOLD_RUN = "UPDATE runs SET seen_us = {now} WHERE id = :id AND epoch = :epoch AND host IS NOT NULL"
HOLD_RUNS = Batch(
    "UPDATE runs SET seen_us = {now} {from}"
    " WHERE runs.id = {id} AND runs.epoch = {epoch} AND host IS NOT NULL",
    (("id", "text"), ("epoch", "integer")),
)
LEAVE_RUNS = Batch(
    "UPDATE runs SET state = {state}, host = NULL, pid = NULL, started = NULL, boot = NULL,"
    " seen_us = {now}, ended_us = CASE WHEN {state} = 'queued' THEN NULL ELSE {now} END"
    " {from}"
    " WHERE runs.id = {id} AND runs.epoch = {epoch} AND host IS NOT NULL",
    (("id", "text"), ("epoch", "integer"), ("state", "text")),
)

# Tickets and requests are numbered in the order in which others can see them: one at a time.
NUMBERING_TICKETS, NUMBERING_REQUESTS = 1, 2
TAKE_TICKETS = Batch(
    "INSERT INTO locks (tag, run, at_us) SELECT {tag}, {run}, {now} {from}"
    " WHERE NOT EXISTS (SELECT 1 FROM locks WHERE locks.run = {run} AND locks.tag = {tag})",
    (("run", "bigint"), ("tag", "text")),
)
DROP_TICKETS = Batch("DELETE FROM locks WHERE run IN (SELECT {run} {from})", (("run", "bigint"),))
LOCKS = (
    "SELECT tag, runs.id, ticket, at_us FROM locks JOIN runs ON runs.no = locks.run"
    " ORDER BY tag, ticket"
)
_AHEAD = "locks AS own JOIN locks AS ahead ON ahead.tag = own.tag AND ahead.ticket < own.ticket"
AHEAD_OF = (
    f"SELECT ahead.tag, runs.id, ahead.ticket, ahead.at_us FROM {_AHEAD}"
    " JOIN runs ON runs.no = ahead.run WHERE own.run = :run ORDER BY ahead.tag, ahead.ticket"
)

RUN_NUMBER = "SELECT no FROM runs WHERE id = :id AND state <> 'pruned'"
OWNER_OF = "SELECT host, pid FROM runs WHERE id = :id AND state <> 'pruned'"
ADD_EVENTS = Insert("events", ("run", "seq", "at_us", "kind", "job", "try", "lap", "body"))
ADD_LINES = Insert("output", ("run", "job", "try", "at_us", "stream", "text", "lost"))
ANSWER = Batch(
    "UPDATE requests SET answer = {answer}, answered_us = {now} {from}"
    " WHERE requests.id = {id} AND requests.run = {run} AND requests.answer IS NULL",
    (("id", "bigint"), ("run", "bigint"), ("answer", "text")),
)
ASK = """
INSERT INTO requests (run, verb, args, who, at_us) VALUES (:run, :verb, :args, :who, :at_us)
"""
REQUEST_COLUMNS = (
    "requests.id, runs.id, verb, args, who, at_us, answer"
    " FROM requests JOIN runs ON runs.no = requests.run"
)
ASKED = (
    f"SELECT {REQUEST_COLUMNS} WHERE requests.run = :run AND answer IS NULL ORDER BY requests.id"
)
REQUEST = f"SELECT {REQUEST_COLUMNS} WHERE requests.id = :id"
OPEN_REQUESTS = (
    f"SELECT {REQUEST_COLUMNS} WHERE requests.id > :after AND answer IS NULL AND core"
    " AND state <> 'pruned' ORDER BY requests.id"
)

FIND_RUNS = (
    f"SELECT {RUN_COLUMNS} FROM runs WHERE id >= :low AND id < :high AND state <> 'pruned'"
    " ORDER BY id LIMIT 2"
)
LAST_RUN = (
    f"SELECT {RUN_COLUMNS} FROM runs WHERE state <> 'pruned'"
    " ORDER BY began_us DESC, no DESC LIMIT 1"
)
CORE_RUNS = (
    f"SELECT {RUN_COLUMNS} FROM runs"
    " WHERE core AND state IN ('queued', 'running', 'interrupted')"
    f" AND NOT EXISTS (SELECT 1 FROM {_AHEAD} WHERE own.run = runs.no)"
)
UNOWNED_CORE_RUNS = f"{CORE_RUNS} AND host IS NULL ORDER BY no"
ALL_CORE_RUNS = f"{CORE_RUNS} ORDER BY no"
PLAN = "SELECT plan FROM runs WHERE id = :id AND state <> 'pruned'"
JOURNAL = (
    "SELECT seq, kind, at_us, job, try, body FROM events"
    " WHERE run = :run AND seq > :after ORDER BY seq LIMIT :limit"
)
OUTPUT = (
    "SELECT job, try, at_us, stream, text, lost, id FROM output"
    " WHERE run = :run AND id > :after ORDER BY id LIMIT :limit"
)
OUTPUT_OF_JOB = (
    "SELECT job, try, at_us, stream, text, lost, id FROM output"
    " WHERE run = :run AND id > :after AND job = :job ORDER BY id LIMIT :limit"
)

_PAUSING = (
    "kind IN"
    " ('run-paused', 'run-unpaused', 'run-cancelled', 'run-resumed', 'run-retried', 'run-ended')"
)

# A run is forgotten in steps, so that no step keeps other writers waiting for long: once it is
# marked nobody sees it any more, and what a prune that died left over the next one deletes.
_OVER = "host IS NULL AND ended_us < :before AND state IN ('succeeded', 'failed', 'cancelled')"
PRUNABLE = f"""
SELECT no FROM runs
WHERE {_OVER} AND no NOT IN (
    SELECT no FROM runs WHERE state <> 'pruned' ORDER BY began_us DESC, no DESC LIMIT :keep
)
"""
MARK_PRUNED = f"""
UPDATE runs SET state = 'pruned', idempotency_key = NULL WHERE no = :no AND {_OVER}
"""
PRUNED = "SELECT no FROM runs WHERE state = 'pruned'"
FORGET_SOME = (
    "DELETE FROM events WHERE run = :no AND seq IN"
    " (SELECT seq FROM events WHERE run = :no ORDER BY seq LIMIT :limit)",
    "DELETE FROM output WHERE id IN"
    " (SELECT id FROM output WHERE run = :no ORDER BY id LIMIT :limit)",
    "DELETE FROM requests WHERE id IN"
    " (SELECT id FROM requests WHERE run = :no ORDER BY id LIMIT :limit)",
    "DELETE FROM locks WHERE ticket IN"
    " (SELECT ticket FROM locks WHERE run = :no ORDER BY ticket LIMIT :limit)",
)
FORGET_RUN = "DELETE FROM runs WHERE no = :no AND state = 'pruned'"

ADD_PLAYBOOK = """
INSERT INTO playbooks (id, group_name, name, version) VALUES (:id, :group, :name, 1)
"""
# No row: another version is the newest, or it was removed, or it is not there.
NEXT_VERSION = """
UPDATE playbooks SET version = version + 1, name = :name
WHERE id = :id AND version = :expected AND removed_us IS NULL
"""
ADD_VERSION = """
INSERT INTO playbook_versions (playbook, number, at_us, who, notation, format, text)
SELECT no, version, :at_us, :who, :notation, :format, :text FROM playbooks WHERE id = :id
"""
REMOVE_PLAYBOOK = """
UPDATE playbooks SET removed_us = :at_us, removed_by = :who
WHERE id = :id AND removed_us IS NULL
"""
_PLAYBOOKS = (
    "SELECT playbooks.id, group_name, name, version, who, at_us, removed_us, removed_by"
    " FROM playbooks JOIN playbook_versions ON playbook = playbooks.no AND number = version"
)
FIND_PLAYBOOKS = f"{_PLAYBOOKS} WHERE id >= :low AND id < :high ORDER BY id LIMIT 2"
PLAYBOOKS_CALLED = (
    f"{_PLAYBOOKS} WHERE group_name || '/' || name = :title AND removed_us IS NULL"
    " ORDER BY group_name LIMIT 2"
)
PLAYBOOK_NAMED = f"{_PLAYBOOKS} WHERE group_name = :group AND name = :name AND removed_us IS NULL"
_PAGE = "removed_us IS NULL AND (group_name, name) > (:after_group, :after_name)"
LIST_PLAYBOOKS = f"{_PLAYBOOKS} WHERE {_PAGE} ORDER BY group_name, name LIMIT :limit"
LIST_PLAYBOOKS_OF = (
    f"{_PLAYBOOKS} WHERE group_name = :group AND {_PAGE} ORDER BY group_name, name LIMIT :limit"
)
VERSIONS = (
    "SELECT number, text, notation, format, who, at_us"
    " FROM playbook_versions JOIN playbooks ON playbook = playbooks.no"
    " WHERE id = :id AND number >= :least AND number < :before ORDER BY number DESC LIMIT :limit"
)

# No row: somebody else holds it. SQLite needs the names of what is there told apart.
LEASE = """
INSERT INTO leases (name, host, pid, started, boot, epoch, seen_us)
VALUES (:name, :host, :pid, :started, :boot, 1, {now})
ON CONFLICT (name) DO UPDATE SET host = :host, pid = :pid, started = :started, boot = :boot,
       epoch = leases.epoch + 1, seen_us = {now}
WHERE leases.host IS NULL OR leases.seen_us <= {now} - :lease_us
      OR (leases.host = :host AND leases.pid = :pid AND leases.started = :started
          AND leases.boot = :boot)
RETURNING epoch
"""
RENEW_LEASE = """
UPDATE leases SET seen_us = {now} WHERE name = :name AND epoch = :epoch AND host IS NOT NULL
"""
LEAVE_LEASE = """
UPDATE leases SET host = NULL, pid = NULL, started = NULL, boot = NULL
WHERE name = :name AND epoch = :epoch
"""
LEASE_OF = """
SELECT host, pid, started, boot, epoch, ({now} - seen_us) FROM leases
WHERE name = :name AND host IS NOT NULL
"""

ADD_TOKEN = """
INSERT INTO tokens (id, name, digest, groups, environments, who, at_us, expires_us, revoked_us)
VALUES (:id, :name, :digest, :groups, :environments, :who, :at_us, :expires_us, :revoked_us)
"""
_TOKENS = (
    "SELECT id, name, digest, groups, environments, who, at_us, expires_us, revoked_us FROM tokens"
)
TOKEN_WITH_DIGEST = f"{_TOKENS} WHERE digest = :digest"
TOKEN = f"{_TOKENS} WHERE id = :id"
TOKENS = f"{_TOKENS} ORDER BY at_us, id"
REVOKE_TOKEN = "UPDATE tokens SET revoked_us = :at_us WHERE id = :id AND revoked_us IS NULL"


# Of two messages the one that was said later stays; who does not count sends 0, and is believed.
NOTE_WORKERS = Batch(
    "INSERT INTO workers (queue, worker, state, number, presence, seen_us, lost_us)"
    " SELECT {queue}, {worker}, {state}, {number}, {presence}, {now} - {age_us},"
    " {now} - {age_us} + {patience_us} {from} WHERE true"
    " ON CONFLICT (queue, worker) DO UPDATE SET state = excluded.state, number = excluded.number,"
    " presence = excluded.presence, seen_us = excluded.seen_us, lost_us = excluded.lost_us"
    " WHERE excluded.number = 0 OR excluded.number > workers.number",
    (
        *(("queue", "text"), ("worker", "text"), ("state", "text"), ("number", "bigint")),
        *(("presence", "text"), ("age_us", "bigint"), ("patience_us", "bigint")),
    ),
)
WORKERS = """
SELECT presence, ({now} - seen_us) FROM workers
WHERE state <> 'left' AND (queue, worker) > (:queue, :worker)
ORDER BY queue, worker LIMIT :limit
"""
FORGET_LEFT = "DELETE FROM workers WHERE state = 'left' AND lost_us < {now}"
FORGET_LOST = "DELETE FROM workers WHERE lost_us < {now} AND lost_us < :before"


@cache
def pausings(runs: int) -> str:
    """What tells whether runs are paused; of so many, ``:run_0`` and so on."""
    return (
        "SELECT runs.id, kind, events.at_us, job, try, body"
        " FROM events JOIN runs ON runs.no = events.run"
        f" WHERE {_PAUSING} AND runs.id IN ({', '.join(f':run_{n}' for n in range(runs))})"
        " AND runs.state <> 'pruned' ORDER BY events.run, seq"
    )


@cache
def list_runs(groups: int | None, states: int | None) -> str:
    """The newest runs; of so many groups, ``:group_0`` and so on, and states, ``:state_0`` …"""
    where = "began_us < :before AND state <> 'pruned'"
    for column, name, count in (("group_name", "group", groups), ("state", "state", states)):
        if count is not None:
            where += f" AND {column} IN ({', '.join(f':{name}_{n}' for n in range(count))})"
    return (
        f"SELECT {RUN_COLUMNS} FROM runs WHERE {where} ORDER BY began_us DESC, no DESC LIMIT :limit"
    )
