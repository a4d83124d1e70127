"""What must hold of a Celery app whose tasks are all to be tracked, in plain sentences.

Each rule gives a sentence for each way in which the app breaks it, and none if it keeps it. A
sentence says what happens, and then what to change.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any
from uuid import uuid4

from celery.exceptions import QueueNotFound

from headway.errors import Unavailable
from headway.toolbox import platform
from headway.toolbox.deliveries import Deliveries, Sent

JSON = "application/json"
SHOWN = 4  # of those that a sentence is about; the rest is counted
_PICKLES = ("pickle", "application/x-python-serialize")


def default_queue(seen: Deliveries) -> Iterator[str]:
    name = seen.default_queue
    if name not in seen.app.amqp.queues:
        yield (
            f"the default queue {name!r} is not in task_queues, so tasks that no route names"
            " cannot be sent: list it there"
        )
        return
    yield from _refused([seen.unrouted])
    found = seen.unrouted.queues_but(seen.platform_queue)
    if found and found != [name]:
        yield (
            f"{seen.unrouted.what} went to {_listed(found)} instead of the default queue {name!r}:"
            f" let the last route be '*': {{'queue': {name!r}, 'declare': [every queue]}}"
        )


def topic_exchange(seen: Deliveries) -> Iterator[str]:
    wanted = seen.app.conf.task_default_exchange
    for name, queue in sorted(seen.app.amqp.queues.items()):
        exchange = queue.exchange
        if exchange is None or exchange.name != wanted:
            hangs = f"on the exchange {exchange.name!r}" if exchange else "on no exchange"
            yield (
                f"the queue {name!r} hangs {hangs} and not on {wanted!r} (task_default_exchange)"
                " with the others: the platform queue does not hear what is sent to it;"
                " give all queues one exchange"
            )
        elif exchange.type != "topic":
            yield (
                f"the queue {name!r} hangs on an exchange of type {exchange.type!r}: only on one of"
                " type 'topic' can the platform queue hear everything (task_default_exchange_type)"
            )


def platform_queue(seen: Deliveries) -> Iterator[str]:
    name = seen.platform_queue
    if name not in seen.app.amqp.queues:
        yield (
            f"there is no queue {name!r}, so nobody hears which tasks are sent: add it to"
            f" task_queues, bound to the topic exchange by {platform.HEARS_ALL!r}"
        )
        return
    yield from _unheard(seen.tasks, name)


def own_queues(seen: Deliveries) -> Iterator[str]:
    yield from _refused(seen.tasks)
    yield from _misplaced(seen.tasks, seen.platform_queue)


def chords(seen: Deliveries) -> Iterator[str]:
    if seen.app.conf.task_always_eager:
        return  # it is not sent at all, which is another rule's to say
    yield from _refused(seen.chord)
    yield from _misplaced(seen.chord, seen.platform_queue)
    yield from _unheard(seen.chord, seen.platform_queue)


def unlisted_queue(seen: Deliveries) -> Iterator[str]:
    sent = seen.unlisted
    if sent.refusal is None and not sent.in_queue(seen.platform_queue):
        where = "went to it" if sent.in_queue(str(sent.queue)) else "was lost"
        yield (
            f"a task for the queue {sent.queue!r}, which task_queues does not list, {where} and"
            " nobody hears of it: set task_create_missing_queues to False, so that it is refused"
        )


def consumers(seen: Deliveries) -> Iterator[str]:
    try:
        consumed = seen.consumed_by_a_worker()
    except Unavailable:
        raise
    except Exception as error:  # whatever the broker makes of its queues
        yield f"a Celery worker of this app cannot consume its queues: {_reason(error)}"
        return
    if seen.platform_queue in consumed:
        yield (
            f"a Celery worker of this app consumes the platform queue {seen.platform_queue!r}: it"
            " takes the monitor's messages and runs each task twice. Let it stand in task_queues as"
            " a headway.toolbox.platform.PlatformQueue"
        )


def result_database(seen: Deliveries) -> Iterator[str]:
    app = seen.app
    if app.conf.task_ignore_result:
        yield "results are thrown away: remove task_ignore_result"
    try:
        if _is_database(app.backend):
            return
        goes_to = f"go to {app.backend.as_uri()} and not into a database"
    except Exception as error:  # no such backend, no driver for it, a database that is away
        yield f"results cannot be stored ({error}): correct result_backend"
        return
    if type(app.backend).__name__ == "DisabledBackend":
        goes_to = "are not stored"
    yield (
        f"results {goes_to}, so that the platform cannot find them:"
        " set result_backend to db+postgresql://... or headway+postgresql://..."
    )


def results_stored(app: Any) -> Iterator[str]:
    """Stores one and takes it back: the transaction is never committed."""
    backend = app.backend
    try:
        if hasattr(backend, "rehearse"):
            backend.rehearse()
        else:
            _rehearse(backend)
    except Exception as error:  # each driver has its own
        yield (
            f"the database {backend.as_uri()} does not take results ({_first_line(error)}): start"
            " it, and let its owner run the script that `python -m headway.toolbox.result_tables`"
            " names"
        )


def _rehearse(backend: Any) -> None:
    with closing(backend.ResultSession()) as session:
        row = backend.task_cls(f"headway-{uuid4().hex}")
        session.add(row)
        for state in ("STARTED", "SUCCESS"):
            row.status = state
            session.flush()
        session.rollback()


def started(seen: Deliveries) -> Iterator[str]:
    app = seen.app
    if not app.conf.task_track_started:
        yield "nobody sees that a task has been started: set task_track_started to True"
        return
    app.loader.import_default_modules()
    for name, task in sorted(app.tasks.items()):
        if not name.startswith("celery.") and not task.track_started:
            yield f"nobody sees that {name!r} has been started: remove its track_started"


def json_only(seen: Deliveries) -> Iterator[str]:
    conf = seen.app.conf
    for setting in ("accept_content", "result_accept_content"):
        if any(one in _PICKLES for one in conf.get(setting) or ()):
            yield f"{setting} allows pickle, which runs code of whoever wrote it: leave ['json']"
    if conf.result_serializer != "json":
        yield f"results are written as {conf.result_serializer!r}: set result_serializer to 'json'"
    others = [one for one in seen.tasks if one.content_types - {JSON}]
    if others:
        types = set().union(*(one.content_types for one in others)) - {JSON}
        yield f"written as {_listed(types)}: {_all(others)}; set the serializer to 'json'"


def sent_and_not_run(seen: Deliveries) -> Iterator[str]:
    if seen.app.conf.task_always_eager:
        yield (
            "tasks run where they are called and are never sent, so that nobody hears of them:"
            " remove task_always_eager"
        )


def _is_database(backend: Any) -> bool:
    """Celery's own backend, what derives from it, and what says so itself."""
    from celery.backends.database import DatabaseBackend

    return isinstance(backend, DatabaseBackend) or getattr(backend, "stores_in_database", False)


def _unheard(all_sent: Iterable[Sent], name: str) -> Iterator[str]:
    sent = [one for one in all_sent if one.refusal is None]
    if unheard := [one for one in sent if not one.in_queue(name)]:
        yield (
            f"not heard by the platform queue {name!r}: {_all(unheard)}; bind that queue to the"
            f" topic exchange by {platform.HEARS_ALL!r}, and let every route, the last one for"
            " '*', have 'declare': [every queue]"
        )
    if repeated := [one for one in sent if one.in_queue(name) > 1]:
        yield f"heard twice by the platform queue {name!r}: {_all(repeated)}; bind it only once"


def _refused(all_sent: Iterable[Sent]) -> Iterator[str]:
    by_reason: dict[str, list[Sent]] = {}
    for one in all_sent:
        if one.refusal is not None:
            by_reason.setdefault(_reason(one.refusal), []).append(one)
    for reason, sent in by_reason.items():
        yield f"cannot be sent: {_all(sent)}; {reason}"


def _misplaced(all_sent: Iterable[Sent], platform_queue: str) -> Iterator[str]:
    sent = [one for one in all_sent if one.refusal is None]
    if lost := [one for one in sent if not one.queues_but(platform_queue)]:
        yield (
            f"in no queue, and lost: {_all(lost)}; let every route name a 'queue' and have"
            " 'declare': [every queue]"
        )
    for one in sent:
        found = one.queues_but(platform_queue)
        if len(found) > 1:
            yield f"{one.what} is in {_listed(found)}: bind each queue by its own name only"
        elif found and one.queue not in (None, *found):
            yield (
                f"{one.what} is in {_listed(found)} and not in {one.queue!r}:"
                " bind each queue by its own name"
            )


def _all(sent: Sequence[Sent]) -> str:
    named = [one.what for one in sent[:SHOWN]]
    more = len(sent) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _listed(names: Iterable[str]) -> str:
    return " and ".join(repr(name) for name in sorted(names))


def _reason(error: Exception) -> str:
    match error:
        case QueueNotFound():
            remedy = ": list that queue in task_queues"
        case KeyError():
            remedy = ": let every route name a 'queue'"
        case _:
            remedy = ""
    return f"{type(error).__name__}: {_first_line(error)}{remedy}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
