"""Workers on RabbitMQ under test: what they do, who sends them steps and grants the claims."""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from headway.adapters.dispatching import Answered, Heard
from headway.adapters.rabbitmq.bus import RabbitBus
from headway.ports.bus import (
    Bus,
    Delivery,
    Message,
    Settlement,
)
from headway.releases.claims import Attempt, Claims
from headway.runtime.sending import StepSender
from headway.runtime.worker import Worker
from headway.wire import names
from headway.wire.messages import Claim, Grant, Response, StepMessage
from tests.unit.serving import CLAIMS, Desk, step, worker

DEADLINE_S = 60.0
FROB = "worker.frob"
BusMaker = Callable[..., RabbitBus]


class Sent:
    """A step under a claim, and what is heard of it, read by a thread."""

    def __init__(self, bus: Bus, parameters: dict[str, Any], **kwargs: Any) -> None:
        own = {"command": "frob", "subcommand": "frob", "hosts": ["localhost"]}
        self._sender = StepSender(bus, **kwargs)
        self._sender.open()
        self.step = self._sender.send("frob", StepMessage(parameters={**parameters, **own}))
        self._changed = threading.Condition()
        self.heard: list[tuple[Heard, float]] = []
        self.step.wait_until_taken()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def wait_for(self, kind: type[Any], status: str | None = None) -> float:
        """When it was heard."""

        def found() -> float | None:
            for news, heard_at in self.heard:
                if isinstance(news, kind) and status in (None, status_of(news)):
                    return heard_at
            return None

        with self._changed:
            assert self._changed.wait_for(lambda: found() is not None, DEADLINE_S), self.heard
            return found() or 0.0

    def end(self) -> list[str]:
        """Returns the answers that counted, when the step has ended."""
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), self.heard
        self.close()
        return [status_of(news) for news, _ in self.heard if isinstance(news, Answered)]

    def close(self) -> None:
        self._sender.close()

    def counts(self, kind: type[Any]) -> int:
        return sum(isinstance(news, kind) for news, _ in self.heard)

    def _listen(self) -> None:
        for news in self.step.heard():
            with self._changed:
                self.heard.append((news, time.monotonic()))
                self._changed.notify_all()


def status_of(news: Any) -> str:
    return news.response.status if isinstance(news, Answered) else ""


class Steps:
    """What a worker's process does with steps: notes them, and waits where it is told to."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()  # by attempt, or run
        self.ended: Counter[str] = Counter()
        self.go_on = threading.Event()
        self.inside: queue.SimpleQueue[str] = queue.SimpleQueue()
        steps = self

        def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
            name = props.message_id or props.correlation_id
            steps.begun[name] += 1
            self.ack(deliver)
            self.send(props.reply_to, props.correlation_id, {"status": "started"}, "")
            out.info("at work")
            steps.inside.put(name)
            if body["parameters"].get("waits", True):
                assert steps.go_on.wait(DEADLINE_S)
            steps.ended[name] += 1
            self.send(props.reply_to, props.correlation_id, {"status": "completed"}, "")

        self.worker_class = worker(process)

    def wait_inside(self) -> str:
        return self.inside.get(timeout=DEADLINE_S)


class Granting:
    """Grants the claims of a desk's steps, and knows which answers count."""

    def __init__(self, at: Desk, workers: set[str] | None = None) -> None:
        self.claims = Claims()
        self.asked: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.answers: dict[str, list[str]] = {}  # that counted, by attempt
        self.deaf_to: set[str] = set()  # claims of these attempts
        self._at = at
        self._changed = threading.Condition()
        at.bus.consume(CLAIMS, self._on_claim, prefetch=100, inline=True)
        at.bus.consume("granted-replies", self._on_answer, prefetch=100, inline=True)

    def send(self, attempt: str, key: str = FROB, **parameters: Any) -> None:
        self.claims.offer(attempt, attempt, "granted-replies")
        self.send_copy(attempt, key, **parameters)

    def send_copy(self, attempt: str, key: str = FROB, **parameters: Any) -> None:
        """The message, as a broker delivers it once more."""
        body = step()
        body["parameters"] |= parameters
        self._at.send(
            body,
            key,
            headers={names.CLAIMS: CLAIMS},
            correlation_id=attempt,
            message_id=attempt,
            reply_to="granted-replies",
        )

    def wait_until(self, true: Callable[["Granting"], bool]) -> None:
        with self._changed:
            came = self._changed.wait_for(lambda: true(self), DEADLINE_S)
        open_ones = [one for one in self.claims.attempts if len(self.answers.get(one, ())) < 2]
        assert came, [(one, self.asked[one], self.refused[one]) for one in open_ones]

    def all_ended(self, but: str | None = None) -> bool:
        offered = self.claims.attempts.keys() - {but}
        return all("completed" in self.answers.get(one, ()) for one in offered)

    def _on_claim(self, delivery: Delivery) -> None:
        self._at.bus.settle(delivery, Settlement.ACK)
        claim = Claim.decode(delivery.message.body)
        with self._changed:
            answer = None if claim.attempt in self.deaf_to else self.claims.claim(claim)
            self.asked[claim.attempt] += 1
            if isinstance(answer, Grant):
                self.refused[claim.attempt] += not answer.granted
                reply_to = delivery.message.reply_to
                assert reply_to is not None
                self._at.bus.publish(Message(answer.encode()), reply_to)
            self._changed.notify_all()

    def _on_answer(self, delivery: Delivery) -> None:
        self._at.bus.settle(delivery, Settlement.ACK)
        message = delivery.message
        response = Response.decode(message.body)
        with self._changed:
            counted = self.claims.answer(
                response,
                str(message.headers.get(names.WORKER, "")),
                message.message_id,
                str(message.correlation_id),
                "granted-replies",
            )
            if isinstance(counted, Attempt):
                self.answers.setdefault(counted.id, []).append(response.status)
            self._changed.notify_all()


class running:
    """Workers run in threads for as long as the block lasts."""

    def __init__(self, *workers: Worker) -> None:
        self._workers = workers
        self._threads = [threading.Thread(target=one.run_forever) for one in workers]

    def __enter__(self) -> None:
        for one, thread in zip(self._workers, self._threads, strict=True):
            one._service.begin()
            thread.start()

    def __exit__(self, *_: object) -> None:
        for one in self._workers:
            one.stop()
        for thread in self._threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive()
        for connection in {one._service.connection for one in self._workers}:
            connection.close()
