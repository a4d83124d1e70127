"""Hears a Celery system on any broker that Celery can use, by Celery's own client.

Redis, SQS and the brokers of a process keep exchanges and bindings by themselves, each in its own
way. What they are asked for here is the same as what Celery asks them for.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from headway.adapters.celery_feeds.system import (
    WORKERS_HEARD,
    WORKERS_UNHEARD,
    System,
    TaskExchange,
    unheard,
)
from headway.errors import HeadwayError, Refused, Unavailable
from headway.ports.tracking import Reach
from headway.tracking.heard import Heard

AHEAD = 3_000  # messages brought before any of them is settled
LOOK_S = 0.25  # how often the broker's client is left, to see whether we were woken
# Messages that a monitor had in hand when it was killed come again after this. Kept apart from
# what Celery workers have in hand, which would otherwise come again as early.
IN_HAND_S = 60
_REDIS = {
    "visibility_timeout": IN_HAND_S,
    "unacked_key": "headway.monitor.unacked",
    "unacked_index_key": "headway.monitor.unacked_index",
    "unacked_mutex_key": "headway.monitor.unacked_mutex",
    "unacked_restore_throttle": 1,  # look for them every 10 s, not every 100 s
}
# Whoever leaves while he asks SQS may be brought a message that nobody else sees for half an hour;
# kombu asks for 10 s at once.
SQS_WAIT_S = 1
SQS_UNHEARD = "does not hear from Celery workers: on SQS they tell nothing"


class KombuFeed:
    """A feed by kombu. ``app``: Celery's, which knows the broker."""

    def __init__(self, app: Any, system: System, now_us: Callable[[], int]) -> None:
        self._app = app
        self._system = system
        self._now_us = now_us
        self._connection: Any = None
        self._messages: deque[Any] = deque()  # brought, and not settled
        self._heard: deque[Heard] = deque()
        self._woken = False

    def open(self) -> Reach:
        self.close()
        try:
            return self._open()
        except HeadwayError:
            raise
        except Exception as error:
            raise self._explained(error) from error

    def fetch(self, most: int, wait_s: float) -> Sequence[Heard]:
        """What has come is brought at once; only for the first is waited."""
        give_up_at = time.monotonic() + wait_s
        while len(self._heard) < most and not self._woken:
            left_s = give_up_at - time.monotonic()
            if not self._drained(0.0 if self._heard else min(LOOK_S, left_s)) and (
                self._heard or left_s <= 0
            ):
                break
        self._woken = False
        return [self._heard.popleft() for _ in range(min(most, len(self._heard)))]

    def settle(self, count: int) -> None:
        try:
            for _ in range(count):
                self._messages.popleft().ack()
        except Exception as error:
            raise self._explained(error) from error

    def enable_events(self, workers: Sequence[str] = ()) -> None:
        try:
            self._app.control.enable_events(destination=list(workers) or None)
        except Exception as error:
            raise self._explained(error) from error

    def wake(self) -> None:
        self._woken = True

    def close(self) -> None:
        connection, self._connection = self._connection, None
        self._messages.clear()
        self._heard.clear()
        if connection is not None:
            try:
                connection.release()
            except Exception:
                pass  # it is gone already

    def _open(self) -> Reach:
        connection = self._connection = self._app.connection_for_read()
        kind = connection.transport.driver_type
        if kind == "redis":
            connection.transport_options = {**connection.transport_options, **_REDIS}
        elif kind == "sqs":
            options = connection.transport_options
            wait_s = min(options.get("wait_time_seconds", SQS_WAIT_S), SQS_WAIT_S)
            connection.transport_options = {**options, "wait_time_seconds": wait_s}
        connection.connect()
        channel = connection.default_channel
        channel.basic_qos(0, AHEAD, False)
        heard, says, queues = False, [], []
        for exchange in self._system.exchanges:
            heard_here, said, found = self._queues_at(exchange, kind)
            heard = heard or heard_here
            says.append(said)
            queues += found
        if queues:
            self._consume(channel, queues, is_event=False)
        hears_workers = self._system.with_events and kind != "sqs"
        if hears_workers:
            self._hear_workers(connection)
            says.append(WORKERS_HEARD)
        else:
            says.append(SQS_UNHEARD if self._system.with_events else WORKERS_UNHEARD)
        return Reach(heard, hears_workers, says)

    def _queues_at(self, exchange: TaskExchange, kind: str) -> tuple[bool, str, list[Any]]:
        import kombu

        if exchange.is_passed_by:
            return False, unheard(exchange.name, self._system.with_events), []
        queue = self._system.queue
        declared = kombu.Exchange(exchange.name, exchange.kind or "topic")
        key = "" if exchange.kind == "fanout" else "#"
        said = f"hears every task sent to exchange {exchange.name}, through queue {queue}"
        if kind == "sqs":
            said += (
                ", by whoever declares both: SQS keeps no exchanges, so each sender has to"
                " (headway's Config does)"
            )
        return True, said, [kombu.Queue(queue, declared, routing_key=key)]

    def _hear_workers(self, connection: Any) -> None:
        import kombu
        from celery.events.event import get_exchange

        exchange = get_exchange(connection, name=self._system.event_exchange)
        queue = kombu.Queue("", exchange, routing_key="#", exclusive=True, auto_delete=True)
        queue.name = f"{self._system.event_exchange}.headway-monitor"
        self._consume(connection.default_channel, [queue], is_event=True)

    def _consume(self, channel: Any, queues: list[Any], *, is_event: bool) -> None:
        import kombu

        kombu.Consumer(
            channel,
            queues,
            on_message=partial(self._append, is_event),
            on_decode_error=partial(self._append, is_event),  # kombu could not inflate its body
        ).consume()

    def _drained(self, wait_s: float) -> bool:
        """Whether anything came."""
        if self._connection is None:
            raise Unavailable("the broker is not connected: open the feed")
        try:
            self._connection.drain_events(timeout=max(wait_s, 0.001))
        except TimeoutError:
            return False
        except Exception as error:
            if _is_nothing(error):
                return False
            raise self._explained(error) from error
        return True

    def _append(self, is_event: bool, message: Any, error: Exception | None = None) -> None:
        body = message.body
        stamp = message.properties.get("timestamp")
        is_moment = isinstance(stamp, int | float) and 0 <= stamp < 2**40
        self._messages.append(message)
        self._heard.append(
            Heard(
                is_event,
                str((message.delivery_info or {}).get("routing_key") or ""),
                # Its body has been inflated by now.
                {k: v for k, v in (message.headers or {}).items() if k != "compression"},
                str(message.content_type or ""),
                body.encode(errors="surrogateescape") if isinstance(body, str) else bytes(body),
                self._now_us(),
                int(stamp) * 1_000_000 if is_moment else None,
                None if error is None else _flaw(message.headers, error),
            )
        )

    def _explained(self, error: Exception) -> HeadwayError:
        where = self._app.connection_for_read().as_uri()
        text = str(error).strip() or type(error).__name__
        if "AccessDenied" in text or "NOAUTH" in text or "WRONGPASS" in text:
            return Refused(f"{where} does not let us in: {text}. Check user, password and rights")
        return Unavailable(f"{where} does not answer: {text}")


def _flaw(headers: Any, error: Exception) -> str:
    how = str(headers.get("compression"))[:80]
    return f"cannot be inflated ({how}): {type(error).__name__}: {error}"


def _is_nothing(error: Exception) -> bool:
    from queue import Empty

    return isinstance(error, Empty)
