"""What is sent for a test, each time on a broker that knows nothing of the app, and arrives where.

A message is sent by a producer of its own that finds nothing declared. That way a route shows
whether it declares what it needs, or only works because a Celery worker was there before.
"""

import logging
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import uuid4

from celery import chord
from kombu.transport import virtual

from headway.toolbox import platform
from headway.toolbox.apart import Place, apart

PROBE = "headway_functional_test"  # what a task of ours is called; nobody serves it
UNLISTED = "headway-unlisted"
BUILT_IN = "celery.accumulate"  # every app has it, so that a chord of it can be sent
ARRIVAL_S = 10.0  # on brokers whose queues may seem empty for a moment
LOOK_S = 0.1
# These have put a message into its queues once they have answered anything after it.
_AT_ONCE = frozenset({"amqp", "memory", "redis", "filesystem"})


@dataclass(frozen=True)
class Arrival:
    """A message found in a queue."""

    queue: str
    id: str
    task: str
    content_type: str


@dataclass(frozen=True)
class Sent:
    """A task message that was sent for a test, and where it was found."""

    what: str  # in plain words
    id: str
    queue: str | None  # where it belongs; None: in whichever one queue
    arrivals: Sequence[Arrival] = ()
    refusal: Exception | None = None

    def in_queue(self, queue: str) -> int:
        return sum(one.queue == queue and one.id == self.id for one in self.arrivals)

    @property
    def content_types(self) -> frozenset[str]:
        return frozenset(one.content_type for one in self.arrivals if one.id == self.id)

    def queues_but(self, platform_queue: str) -> list[str]:
        """Where it was found, of the queues that Celery workers consume."""
        queues = (one.queue for one in self.arrivals if one.id == self.id)
        return sorted(queue for queue in queues if queue != platform_queue)


class Deliveries:
    """Sends what an app may be asked to send, each once, when it is first asked for.

    Raises: Unavailable when the broker does not answer.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    @property
    def platform_queue(self) -> str:
        """The name that the configuration gives, or else of the only queue bound by ``#``."""
        queues = self.app.amqp.queues
        named = self.app.conf.get("PLATFORM_QUEUE_NAME", platform.NAME)
        if named in queues:
            return str(named)
        hearing_all = [
            name for name, one in queues.items() if one.routing_key == platform.HEARS_ALL
        ]
        return str(hearing_all[0] if len(hearing_all) == 1 else named)

    @property
    def work_queues(self) -> list[str]:
        return sorted(name for name in self.app.amqp.queues if name != self.platform_queue)

    @property
    def default_queue(self) -> str:
        return str(self.app.conf.task_default_queue)

    @cached_property
    def unrouted(self) -> Sent:
        return self._send("a task that no route names", self.default_queue, PROBE)

    @cached_property
    def tasks(self) -> Sequence[Sent]:
        """By ``queue=``, by a name that a route takes, by no route, and the app's own tasks."""
        by_queue = [
            self._send(f"a task sent with queue={name!r}", name, PROBE, queue=name)
            for name in self.work_queues
        ]
        named = [self._send(f"a task named {name!r}", None, name) for name in self._routed_names()]
        own = [self._send(f"the task {name!r}", None, name) for name in self._own_tasks()]
        return [*by_queue, *named, self.unrouted, *own]

    @cached_property
    def unlisted(self) -> Sent:
        known = dict(self.app.amqp.queues)
        sent = self._send("", UNLISTED, PROBE, queue=UNLISTED)
        for name in set(self.app.amqp.queues).difference(known):
            dict.pop(self.app.amqp.queues, name)  # made up for it on the way
        return sent

    @cached_property
    def chord(self) -> Sequence[Sent]:
        """The tasks of a chord: one a queue in its head, and what waits for them."""
        task = self.app.tasks[BUILT_IN]
        head = {name: uuid4().hex for name in self.work_queues}
        with apart(self.app) as place:
            try:
                signatures = [task.s(name).set(queue=name, task_id=id) for name, id in head.items()]
                chord(signatures, app=self.app)(task.s())
            except Exception as error:  # whatever the app, its backend or the broker makes of it
                return [Sent("a chord", "", None, refusal=error)]
            found = self._arrivals(place, set(head.values()))
        sent = [Sent(f"a chord's task for {name!r}", head[name], name, found) for name in head]
        others = {one.id: one.task for one in found if one.id not in head.values()}
        return sent + [Sent(f"a chord's {task}", id, None, found) for id, task in others.items()]

    def consumed_by_a_worker(self) -> list[str]:
        """What a Celery worker that is told nothing consumes."""
        with apart(self.app) as place:
            consumer = self.app.amqp.TaskConsumer(place.channel, callbacks=[lambda *_: None])
            with _quiet(platform.logger):
                consumer.consume()
            consumer.cancel()
            return sorted(place.consumed)

    def _routed_names(self) -> Iterator[str]:
        """A name for each pattern of the routes that is text, and by each queue's own name."""
        routes = self.app.conf.task_routes
        patterns: list[Any] = []
        for one in routes if isinstance(routes, list | tuple) else [routes]:
            patterns.extend(one if isinstance(one, Mapping) else ())
        named = [one for one in patterns if isinstance(one, str) and "*" in one and one != "*"]
        named += [f"{name}.*" for name in self.work_queues]
        for pattern in dict.fromkeys(named):
            yield pattern.replace("*", PROBE)

    def _own_tasks(self) -> Iterator[str]:
        """The app's tasks, one of those that are routed alike."""
        self.app.loader.import_default_modules()
        seen = set()
        for name, task in sorted(self.app.tasks.items()):
            if not name.startswith("celery."):
                options = task._get_exec_options()
                with_route = _routed(self.app, name, {k: v for k, v in options.items() if v})
                if with_route not in seen:
                    seen.add(with_route)
                    yield name

    def _send(self, what: str, goes_to: str | None, name: str, **options: Any) -> Sent:
        id = uuid4().hex
        with apart(self.app) as place:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of an app that runs its tasks on the spot
                    self.app.send_task(
                        name, task_id=id, ignore_result=True, result_cls=_NoResult, **options
                    )
            except Exception as error:  # whatever the app or the broker makes of it
                return Sent(what, id, goes_to, refusal=error)
            return Sent(what, id, goes_to, self._arrivals(place, {id}))

    def _arrivals(self, place: Place, ids: set[str]) -> Sequence[Arrival]:
        """All that was sent, from every queue that was declared.

        Waits for the ids where a queue may seem empty although it is not.
        """
        found: list[Arrival] = []
        _settle(place)
        ends_at = time.monotonic()
        if place.connection.transport.driver_type not in _AT_ONCE:
            ends_at += ARRIVAL_S
        while True:
            for queue in list(place.queues):
                found.extend(_taken(place.channel, queue))
            if _is_all(found, ids, self.platform_queue) or time.monotonic() >= ends_at:
                return found
            threading.Event().wait(LOOK_S)


class _NoResult:
    """What the app is given instead of a result, which would connect to where results are."""

    ignored = True

    def __init__(self, id: str) -> None:
        self.id = id


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _routed(app: Any, name: str, options: dict[str, Any]) -> str:
    try:
        return repr(sorted(app.amqp.router.route(dict(options), name).items(), key=str))
    except Exception as error:  # sending it will show why
        return f"{name}: {error}"


def _settle(place: Place) -> None:
    """Returns when what was published has been put into its queues.

    Asked on the channel that published, a queue answers after the messages before the question.
    """
    for channel in list(place.channels):
        if not isinstance(channel.real, virtual.Channel):  # those have put it where it belongs
            for queue in list(place.queues):
                channel.queue_declare(queue, passive=True)


def _taken(channel: Any, queue: str) -> Iterator[Arrival]:
    while (raw := channel.basic_get(queue)) is not None:
        message = channel.message_to_python(raw) if hasattr(channel, "message_to_python") else raw
        message.ack()
        headers = message.headers or {}
        id = message.properties.get("correlation_id") or headers.get("id") or ""
        yield Arrival(queue, id, str(headers.get("task", "task")), str(message.content_type))


def _is_all(found: Sequence[Arrival], ids: set[str], platform_queue: str) -> bool:
    heard = {one.id for one in found if one.queue == platform_queue}
    worked = {one.id for one in found if one.queue != platform_queue}
    return ids <= heard and ids <= worked
