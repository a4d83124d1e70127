"""Every limit and time that is not a job's own: where it is written, and what it limits.

The page docs/reference/limits.md and what ``headway doctor`` prints are made of this table.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headway.errors import Unavailable


class Limit(NamedTuple):
    """One number in the code."""

    area: str
    says: str  # what it limits
    where: str  # module below headway, and name
    unit: str  # "" for a bare number


# A row a limit: what it limits, where it is written, in which unit.
# fmt: off
_TABLE: Mapping[str, Sequence[tuple[str, str, str]]] = {
    "Runs": (
        ("how long a job that passed at once may wait to be written", "runtime.journal.LONGEST_WAIT_US", "µs"),
        ("and how many of them", "runtime.journal.MOST_ROWS", "rows"),
        ("how often an owner says that it lives", "runtime.journal.BEAT_US", "µs"),
        ("an owner on another machine not heard of for so long is taken for dead", "runtime.ownership.LEASE_S", "s"),
        ("how often an owner looks for requests", "runtime.runner.LOOK_S", "s"),
        ("how long what runs is waited for once a run is stopped", "runtime.runner.STOP_GRACE_S", "s"),
        ("how long `cancel`, `settle`, `retry`, `resume` wait for an answer", "runtime.asking.ANSWER_S", "s"),
        ("how long `deploy --wait` puts up with a store that is away", "doors.cli.following.PATIENCE_S", "s"),
        ("the longest delay that `BACKOFF` makes", "jobs.schedule.LONGEST_BACKOFF_S", "s"),
    ),
    "Tries": (
        ("how long past its deadline code in a thread may take to notice, before it is overdue", "adapters.threads.OVERDUE_GRACE_S", "s"),
        ("between TERM and KILL for a child process past its deadline", "adapters.child.HARD_GRACE_S", "s"),
        ("between TERM and KILL for a command past its deadline", "adapters.commands.LATE_GRACE_S", "s"),
        ("between TERM and KILL for a command of a run that is stopped", "adapters.groups.GRACE_S", "s"),
        ("the longest line of output; the rest is cut off", "adapters.lines.LONGEST_LINE", "characters"),
        ("the result of a child process that JSON cannot carry is shown up to", "jobs.outcomes.LONGEST_REPR", "characters"),
    ),
    "Stores": (
        ("how long to wait for another writer of an SQLite file", "adapters.sqlite.BUSY_S", "s"),
        ("how long to wait for a PostgreSQL server to accept", "adapters.postgres.CONNECT_S", "s"),
        ("the longest statement there", "adapters.postgres.STATEMENT_S", "s"),
        ("the longest wait for a lock there", "adapters.postgres.LOCK_S", "s"),
    ),
    "Bus and workers": (
        ("the largest message, checked before it is read", "wire.strict_json.LIMIT_BYTES", "bytes"),
        ("and the largest that is sent, or delivered whole", "ports.bus.BODY_BYTES", "bytes"),
        ("its headers", "adapters.message_rules.HEADER_BYTES", "bytes"),
        ("how deep they are nested", "adapters.message_rules.HEADER_DEPTH", ""),
        ("names, keys and ids on the bus", "adapters.message_rules.SHORT_BYTES", "bytes"),
        ("messages published and not yet confirmed, beyond which publishing fails", "ports.bus.UNCONFIRMED", "messages"),
        ("and their bodies", "ports.bus.UNCONFIRMED_BYTES", "bytes"),
        ("how long the broker may take to answer anything asked of it", "ports.bus.ANSWER_S", "s"),
        ("before the first attempt to connect again; the bound doubles each time", "ports.bus.FIRST_WAIT_S", "s"),
        ("up to", "ports.bus.LONGEST_WAIT_S", "s"),
        ("while there is no connection, that is logged every", "adapters.rabbitmq.bus.LOG_AGAIN_S", "s"),
        ("how long a lost connection may take to close in good order", "adapters.rabbitmq.link.GRACE_S", "s"),
        ("direct replies that wait for their handler; beyond, they are dropped", "adapters.rabbitmq.consumers.REPLIES_KEPT", "messages"),
        ("messages that wait in one queue of the in-memory broker", "adapters.memory_broker.QUEUE_LIMIT", "messages"),
        ("the heartbeat asked of a broker; two and a half of silence are a lost connection", "adapters.bus_address.HEARTBEAT_S", "s"),
        ("a claim that is not answered is asked again after", "runtime.worker_claims.ASK_AGAIN_S", "s"),
        ("how often a worker says that it is there", "runtime.worker_presence.INTERVAL_S", "s"),
        ("how soon after a change it says so, at the latest", "runtime.worker_presence.CHANGES_S", "s"),
        ("how many such messages are missed before it is taken for lost", "releases.presences.MISSED", "messages"),
        ("the longest interval between them that is believed", "releases.presences.LONGEST_INTERVAL_S", "s"),
        ("how many workers are remembered", "releases.presences.MOST", "workers"),
        ("how often a core writes down who is new or says something new", "runtime.worker_roster.WRITE_S", "s"),
        ("and who is still there and says nothing else, at most", "runtime.worker_roster.TOUCH_S", "s"),
        ("messages of workers that wait for that; the oldest go first", "runtime.worker_roster.WAITING", "messages"),
        ("the longest of them that is looked at", "runtime.worker_roster.LONGEST_BYTES", "bytes"),
        ("how long `headway workers` listens without a core", "runtime.worker_listing.LISTEN_S", "s"),
        ("one that could not be sent, after", "runtime.worker_claims.FAILED_AGAIN_S", "s"),
        ("a step whose queue for claims is missing for so long is put into `dead`", "runtime.worker_claims.NO_GRANTER_S", "s"),
        ("attempts that a worker process remembers, so as not to begin one twice", "runtime.worker_claims.REMEMBERED", "attempts"),
        ("a worker that holds an attempt is looked for every", "adapters.dispatching.LOOK_S", "s"),
        ("and is lost when it was not found for", "releases.holders.LOST_AFTER_S", "s"),
        ("but after whoever looks was disconnected itself, not before", "releases.holders.BACK_WITHIN_S", "s"),
        ("how long a run that is over, or a `headway step`, waits for the last line that a worker has said will follow its answer", "adapters.dispatching.CLOSING_S", "s"),
        ("the queues of a `headway step` that has gone are kept for", "adapters.dispatching.KEPT_S", "s"),
        ("how long a step in hand is waited for when a worker is told to leave (`--stop-limit`, `STOP_LIMIT_S`)", "runtime.worker_config.STOP_LIMIT_S", "s"),
        ("behind an acknowledged step that lasts, nothing waits that somebody else could do; looked at every", "runtime.worker_watch.LOOK_S", "s"),
        ("an answer whose queue or broker is gone is tried for so long, where the step names no deadline", "runtime.worker_step.PATIENCE_S", "s"),
        ("and never longer than", "runtime.worker_step.LONGEST_PATIENCE_S", "s"),
        ("at most every", "runtime.worker_answers.LONGEST_WAIT_S", "s"),
        ("how many of them are kept; the oldest go first", "runtime.worker_answers.KEPT", "answers"),
        ("how long a dead letter may take to be confirmed, before the message is delivered again instead", "runtime.worker_connection.CONFIRM_S", "s"),
        ("messages of one step that the broker has not confirmed, before the step waits for it", "runtime.worker_step.UNCONFIRMED", "messages"),
        ("how long settling, and a final answer, wait for them", "runtime.worker_step.CONFIRM_S", "s"),
    ),
    "Playbooks": (
        ("the longest playbook, checked before it is read", "releases.document.LIMIT_BYTES", "bytes"),
        ("how deep its lists and objects may be nested", "releases.document.DEPTH", "levels"),
        ("how many values it may hold; an alias counts for all that it stands for, keys are not counted", "releases.document.VALUES", "values"),
        ("the longest name of a playbook, and of a group", "releases.playbook.NAME_CHARACTERS", "characters"),
        ("the longest whole number", "wire.strict_json.DIGITS", "digits"),
        ("steps of a sequence, what triggers insert counted in", "releases.surroundings.MOST_STEPS", "steps"),
        ("the longest routing key of a phase notification", "releases.surroundings_reading.TOPIC_BYTES", "bytes"),
        ("how much is shown of an answer that was not as expected", "releases.steps.SHOWN", "characters"),
    ),
    "API": (
        ("how long a body may take to come", "doors.web.limits.BODY_S", "s"),
        ("how many of anything stand on one page", "doors.web.limits.MOST", ""),
        ("members from which the state of a family of tasks is worked out", "doors.web.limits.FAMILY_MOST", "tasks"),
        ("threads that work on the store", "doors.web.limits.THREADS", "threads"),
        ("requests that wait for them; beyond, 503", "doors.web.limits.WAITING", "requests"),
        ("how long the store may take to answer; beyond, 503", "doors.web.limits.ANSWER_S", "s"),
        ("tokens that do not hold, of one address; beyond, 429", "doors.web.limits.FAILURES", ""),
        ("within", "doors.web.limits.FAILURES_S", "s"),
        ("addresses that are remembered for that", "doors.web.limits.ADDRESSES", ""),
        ("after the first token was made, the API still lets in who has none for", "doors.web.limits.OPEN_S", "s"),
        ("streams of events at once; beyond, 503", "doors.web.limits.STREAMS", ""),
        ("how often a stream looks for events", "doors.web.limits.LOOK_S", "s"),
        ("and whether its reader still may", "doors.web.limits.ALLOWED_S", "s"),
        ("after so much silence it says that it is there", "doors.web.limits.PING_S", "s"),
        ("a reader that takes nothing for so long is left", "doors.web.limits.SEND_S", "s"),
        ("connections at once; beyond, 503", "doors.web.limits.CONNECTIONS", ""),
        ("how long the head of a request may take to come", "doors.web.limits.HEAD_S", "s"),
        ("how long an idle one is kept", "doors.web.limits.KEEP_S", "s"),
        ("requests in hand are waited for when the API is stopped", "doors.web.limits.LEAVE_S", "s"),
        ("jobs of one release", "runtime.deploying.MOST_JOBS", "jobs"),
    ),
    "Celery tasks": (
        ("messages that the monitor records in one transaction", "runtime.monitor.BATCH", "messages"),
        ("and holds, before any of them is recorded: of tasks on RabbitMQ", "adapters.celery_feeds.rabbitmq.AHEAD", "messages"),
        ("of events there", "adapters.celery_feeds.rabbitmq.EVENTS_AHEAD", "messages"),
        ("how long what has come there waits for more, to be recorded together", "adapters.celery_feeds.rabbitmq.GATHER_S", "s"),
        ("on other brokers", "adapters.celery_feeds.kombu.AHEAD", "messages"),
        ("the events that wait at RabbitMQ for a monitor that is away", "adapters.celery_feeds.system.EVENT_QUEUE_BYTES", "bytes"),
        ("what a killed monitor had in hand on Redis comes again after", "adapters.celery_feeds.kombu.IN_HAND_S", "s"),
        ("how long it waits for one answer of SQS", "adapters.celery_feeds.kombu.SQS_WAIT_S", "s"),
        ("the largest body of a task message that is looked into", "tracking.messages.BODY_BYTES", "bytes"),
        ("and of a message of events", "tracking.events.EVENT_BYTES", "bytes"),
        ("what is kept of a task's args, and of its kwargs", "tracking.messages.ARGUMENTS_CHARACTERS", "characters"),
        ("and of headers that are not Celery's own", "tracking.messages.EXTRA_CHARACTERS", "characters"),
        ("of a result or an error in an event", "tracking.events.TEXT_CHARACTERS", "characters"),
        ("the longest id of a task", "tracking.messages.ID_CHARACTERS", "characters"),
        ("of a dead letter's body", "tracking.heard.SHOWN_BYTES", "bytes"),
        ("the largest stored result that is read", "tracking.results.RESULT_BYTES", "bytes"),
        ("jobs of one run on Celery at once, without `-j`", "runtime.executors.CELERY_SLOTS", "jobs"),
        ("a Celery worker says that it is at a try every", "adapters.celery_tries.messages.BEAT_S", "s"),
        ("and ends it when it was not answered for", "adapters.celery_tries.messages.LEASE_S", "s"),
        ("so much later it is taken for lost, if it was not heard of", "adapters.celery_tries.messages.LOST_S", "s"),
        ("a task is dropped by a Celery worker whose claim nobody answers for", "adapters.celery_tries.messages.CLAIM_S", "s"),
        ("a try fails when its queue had no consumer for", "adapters.celery_tries.absent.NOBODY_S", "s"),
        ("and when its consumers were busy for", "adapters.celery_tries.tasks.LONGEST_WAIT_S", "s"),
        ("a task that nobody took is sent again after that, then after twice that, and so on", "adapters.celery_tries.tasks.AGAIN_S", "s"),
        ("lines and news of a try that were not heard yet, before its job waits", "adapters.celery_tries.serving.AHEAD_BYTES", "bytes"),
        ("its two connections to the broker it keeps, once no try needs them, for", "adapters.celery_tries.kept_line.IDLE_S", "s"),
        ("the queues of a run that has gone are kept for", "adapters.celery_tries.messages.KEPT_S", "s"),
        ("how long a store that is away is tried once the monitor is told to stop", "runtime.monitor.LEAVE_S", "s"),
        ("and after which it leaves, whatever does not answer", "runtime.monitor.EXIT_S", "s"),
        ("how often our result backend tries again to store or read a result, unless `result_backend_max_retries` says otherwise: with Celery's waits about a minute", "adapters.celery_results.rows.TRIES", "times"),
        ("connections that it keeps while nobody uses them, in each process", "adapters.celery_results.rows.KEPT", "connections"),
    ),
    "Conform": (
        ("the heartbeat that `headway conform` proposes to a worker", "conformance.visit.HEARTBEAT_S", "s"),
        ("how many heartbeats a long step has to last", "conformance.lasting.HEARTBEATS", ""),
        ("the longest that it may take", "conformance.visit.LONG_S", "s"),
        ("how long an answer is waited for, without `--patience`", "conformance.visit.PATIENCE_S", "s"),
        ("how long a worker may take to start", "conformance.visit.START_S", "s"),
        ("how long a grant is held back, to see whether it is waited for", "conformance.claiming.HOLD_S", "s"),
        ("the largest prefetch that counts as bounded", "conformance.settling.PREFETCH", "messages"),
        ("how long the broker may take to answer at first", "conformance.examine.OPEN_S", "s"),
    ),
    "Stock workers": (
        ("how much of its `STOP_LIMIT_S` a stock worker gives to the step in hand", "workers.patience.FINISH_SHARE", ""),
        ("the longest `sleep:Seconds`", "workers.sleep.LONGEST_S", "s"),
        ("how long a command of `shell` may run, unless its configuration says otherwise", "workers.listed_commands.TIMEOUT_S", "s"),
        ("lines of one command that are passed on", "workers.shell.LINES_A_STEP", "lines"),
        ("and characters", "workers.shell.CHARACTERS_A_STEP", "characters"),
        ("how long `httprequest` takes to connect, unless its configuration says otherwise", "workers.httprequest.CONNECT_S", "s"),
        ("and waits for an answer", "workers.httprequest.ANSWER_S", "s"),
        ("and takes for all", "workers.httprequest.TOTAL_S", "s"),
        ("and how large an answer may be", "workers.httprequest.BODY_BYTES", "bytes"),
        ("how long `notify` waits for any one answer of a mail server", "workers.mail.ANSWER_S", "s"),
        ("and takes for all mails of a notice", "workers.mail.TOTAL_S", "s"),
        ("to how many targets it sends", "workers.notify.MOST_TARGETS", "targets"),
        ("how many files `output` has open", "workers.kept_output.OPEN_FILES", "files"),
        ("how large the file of a run may get, unless its configuration says otherwise", "workers.kept_output.RUN_BYTES", "bytes"),
        ("how much output may wait at the broker", "workers.output.QUEUE_BYTES", "bytes"),
    ),
}
# fmt: on
LIMITS = tuple(Limit(area, *row) for area, rows in _TABLE.items() for row in rows)


def value_of(limit: Limit) -> float:
    """What the code holds. Raises: Unavailable where an extra that it belongs to is missing."""
    module, _, name = limit.where.rpartition(".")
    value = getattr(importlib.import_module(f"headway.{module}"), name)
    assert isinstance(value, (int, float))
    return value


def in_force(other: Mapping[str, float], unused: tuple[str, ...] = ()) -> list[tuple[Limit, float]]:
    """The limits that hold, with their values.

    ``other``: those set from outside, by where they are written. ``unused``: how the names of
    modules begin that are not used. Left out are also those of extras that are not installed.
    """
    found = []
    for limit in LIMITS:
        if limit.where.startswith(unused):
            continue
        try:
            found.append((limit, other.get(limit.where, value_of(limit))))
        except (Unavailable, ImportError):
            pass
    return found


def shown(limit: Limit, value: float) -> str:
    """A value with its unit: 1,048,576 bytes."""
    number = f"{value:,g}" if value % 1 else f"{value:,.0f}"
    return f"{number} {limit.unit}".rstrip()
