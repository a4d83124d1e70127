"""Every statement the store makes. Named parameters; each driver turns them into its own form.

``{now}`` is the database's own clock in microseconds of UTC since 1970; the driver says how.
"""

from typing import NamedTuple


class Insert(NamedTuple):
    """Many rows into a table. Each driver has its own fast way."""

    table: str
    columns: tuple[str, ...]


RUN_COLUMNS = (
    "id, state, launch, began_us, ended_us, host, pid, started, boot, epoch, lap, jobs,"
    " ({now} - seen_us)"
)

BEGIN_RUN = """
INSERT INTO runs (id, state, launch, plan, jobs, began_us, host, pid, started, boot,
                  epoch, lap, seen_us)
VALUES (:id, 'running', :launch, :plan, :jobs, :at_us, :host, :pid, :started, :boot,
        1, 1, {now})
"""

TAKE_RUN = """
UPDATE runs SET state = 'running', ended_us = NULL, host = :host, pid = :pid,
       started = :started, boot = :boot, epoch = epoch + 1, lap = lap + :laps, seen_us = {now}
WHERE id = :id AND epoch = :epoch AND state <> 'pruned'
"""

# Every write of an owner begins with one of these: no row, no right.
HOLD_RUN = "UPDATE runs SET seen_us = {now} WHERE id = :id AND epoch = :epoch AND host IS NOT NULL"
LEAVE_RUN = """
UPDATE runs SET state = :state, ended_us = {now}, host = NULL, pid = NULL, started = NULL,
       boot = NULL, seen_us = {now}
WHERE id = :id AND epoch = :epoch AND host IS NOT NULL
"""

RUN_NUMBER = "SELECT no FROM runs WHERE id = :id AND state <> 'pruned'"
OWNER_OF = "SELECT host, pid FROM runs WHERE id = :id AND state <> 'pruned'"
ADD_EVENTS = Insert("events", ("run", "seq", "at_us", "kind", "job", "try", "lap", "body"))
ADD_LINES = Insert("output", ("run", "job", "try", "at_us", "stream", "text", "lost"))
ANSWER = """
UPDATE requests SET answer = :answer, answered_us = {now}
WHERE id = :id AND run = :run AND answer IS NULL
"""
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

FIND_RUNS = (
    f"SELECT {RUN_COLUMNS} FROM runs WHERE id >= :low AND id < :high AND state <> 'pruned'"
    " ORDER BY id LIMIT 2"
)
LAST_RUN = (
    f"SELECT {RUN_COLUMNS} FROM runs WHERE state <> 'pruned'"
    " ORDER BY began_us DESC, no DESC LIMIT 1"
)
LIST_RUNS = (
    f"SELECT {RUN_COLUMNS} FROM runs WHERE began_us < :before AND state <> 'pruned'"
    " ORDER BY began_us DESC, no DESC LIMIT :limit"
)
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

# A run is forgotten in steps, so that no step keeps other writers waiting for long: once it is
# marked nobody sees it any more, and what a prune that died left over the next one deletes.
_OVER = "host IS NULL AND ended_us < :before AND state IN ('succeeded', 'failed', 'cancelled')"
PRUNABLE = f"""
SELECT no FROM runs
WHERE {_OVER} AND no NOT IN (
    SELECT no FROM runs WHERE state <> 'pruned' ORDER BY began_us DESC, no DESC LIMIT :keep
)
"""
MARK_PRUNED = f"UPDATE runs SET state = 'pruned' WHERE no = :no AND {_OVER}"
PRUNED = "SELECT no FROM runs WHERE state = 'pruned'"
FORGET_SOME = (
    "DELETE FROM events WHERE run = :no AND seq IN"
    " (SELECT seq FROM events WHERE run = :no ORDER BY seq LIMIT :limit)",
    "DELETE FROM output WHERE id IN"
    " (SELECT id FROM output WHERE run = :no ORDER BY id LIMIT :limit)",
    "DELETE FROM requests WHERE id IN"
    " (SELECT id FROM requests WHERE run = :no ORDER BY id LIMIT :limit)",
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
