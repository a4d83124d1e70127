"""The least that pika can cost: what bench/bus.py measures Headway beside.

One SelectConnection and one channel in confirm mode on each side, whose callbacks do the work;
confirms are pipelined, everything is persistent and mandatory (grants are not: RabbitMQ would
return them), bodies are written and read by the json module, nothing is checked.
"""

import json
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import pika

EXCHANGE, COMMAND = "re", "bench"
STEPS = f"worker.{COMMAND}"
STREAM = "bench.stream"
DIRECT = "amq.rabbitmq.reply-to"
LINES = 3  # of output in a step, besides the two that a worker adds
LAST_LINE = "Finished Bench"
STEP = {
    "parameters": {"command": COMMAND, "subcommand": "run", "hosts": ["web01.example.net"]},
    "group": "bench",
    "dynamic": {"cart": "bitcoin"},
    "notify": {},
}


def new_id() -> str:
    return os.urandom(12).hex()


class Raw:
    """A connection in this thread; ``ready`` is called when its channel can be used."""

    def __init__(self, url: str, ready: Callable[["Raw"], None]) -> None:
        self.outstanding: set[int] = set()
        self.sent = 0
        self._ready = ready
        self.connection = pika.SelectConnection(
            pika.URLParameters(url), on_open_callback=self._opened
        )

    def run(self) -> None:
        self.connection.ioloop.start()

    def stop(self) -> None:
        self.connection.ioloop.stop()

    def publish(
        self, exchange: str, key: str, body: Any, mandatory: bool = True, **properties: Any
    ) -> None:
        self.sent += 1
        self.outstanding.add(self.sent)
        self.channel.basic_publish(
            exchange,
            key,
            json.dumps(body).encode(),
            pika.BasicProperties(content_type="application/json", delivery_mode=2, **properties),
            mandatory=mandatory,
        )

    def _opened(self, connection: Any) -> None:
        connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Any) -> None:
        self.channel = channel
        channel.confirm_delivery(self._confirmed, callback=lambda frame: self._ready(self))

    def _confirmed(self, frame: Any) -> None:
        tag = frame.method.delivery_tag
        if frame.method.multiple:
            self.outstanding.difference_update([n for n in self.outstanding if n <= tag])
        else:
            self.outstanding.discard(tag)


def serve(url: str, prefetch: int, told: Connection) -> None:
    """Works on steps until the process is ended."""
    name = new_id()
    held: dict[str, tuple[int, Any]] = {}

    def ready(raw: Raw) -> None:
        def claim(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            json.loads(body)
            held[properties.message_id] = method.delivery_tag, properties
            raw.publish(
                "",
                properties.headers["headway-claims"],
                {"attempt": properties.message_id, "worker": name, "give_back": False},
                message_id=properties.message_id,
                reply_to=DIRECT,
            )

        def work(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            tag, step = held.pop(json.loads(body)["attempt"])
            channel.basic_ack(tag)
            say(step, "debug", "Starting Bench")
            answer(step, {"status": "started"})
            for number in range(LINES):
                say(step, "info", f"line {number}")
            answer(step, {"status": "completed", "data": {"result": "done"}})
            say(step, "debug", LAST_LINE)

        def say(step: Any, level: str, text: str) -> None:
            line = {"message": text, "level": level}
            raw.publish(
                EXCHANGE,
                "output",
                line,
                correlation_id=step.correlation_id,
                reply_to="log",
                app_id="bench",
            )

        def answer(step: Any, body: Any) -> None:
            raw.publish(
                "",
                step.reply_to,
                body,
                headers={"headway-worker": name},
                correlation_id=step.correlation_id,
                message_id=step.message_id,
                reply_to="log",
                app_id="bench",
            )

        raw.channel.basic_qos(prefetch_count=prefetch)
        raw.channel.basic_consume(DIRECT, work, auto_ack=True)
        raw.channel.basic_consume(STEPS, claim, callback=lambda frame: told.send("ready"))

    Raw(url, ready).run()


def request(url: str, number: int, at_once: int) -> list[float]:
    """Seconds of each step; with several at once, of all of them."""
    requester = Requester(number, at_once)
    Raw(url, requester.ready).run()
    return requester.times


class Requester:
    def __init__(self, number: int, at_once: int) -> None:
        self.times: list[float] = []
        self._left = number
        self._ending: set[str] = set()  # steps of which one of the two last messages has come
        self._at_once = at_once
        self._replies = f"bench.{new_id()}"
        self._claims = f"{self._replies}.claims"
        self._raw: Raw
        self._began: float

    def ready(self, raw: Raw) -> None:
        self._raw = raw
        channel, watch = raw.channel, f"{self._replies}.watch"
        for name in (self._replies, self._claims):
            channel.queue_declare(name, durable=True, arguments={"x-expires": 3_600_000})
        channel.queue_declare(watch, exclusive=True)
        channel.queue_bind(watch, EXCHANGE, "output")
        channel.basic_qos(prefetch_count=200)
        channel.basic_consume(self._claims, self._grant)
        channel.basic_consume(watch, self._read)
        channel.basic_consume(self._replies, self._answered, callback=self._begin)

    def _begin(self, frame: Any) -> None:
        self._began = time.perf_counter()
        for _ in range(self._at_once):
            self._send()

    def _send(self) -> None:
        self._raw.publish(
            EXCHANGE,
            STEPS,
            STEP,
            headers={"headway-claims": self._claims},
            correlation_id=new_id(),
            message_id=new_id(),
            reply_to=self._replies,
        )

    def _grant(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        channel.basic_ack(method.delivery_tag)
        claim = json.loads(body)
        granted = {"attempt": claim["attempt"], "worker": claim["worker"], "granted": True}
        self._raw.publish("", properties.reply_to, granted, mandatory=False)

    def _read(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        channel.basic_ack(method.delivery_tag)
        if json.loads(body)["message"] == LAST_LINE:
            self._heard_an_end_of(properties.correlation_id)

    def _answered(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        channel.basic_ack(method.delivery_tag)
        if json.loads(body)["status"] == "completed":
            self._heard_an_end_of(properties.correlation_id)

    def _heard_an_end_of(self, step: str) -> None:
        """Its answer or its last line: it is over with both."""
        if step not in self._ending:
            self._ending.add(step)
            return
        self._ending.discard(step)
        self._left -= 1
        if self._at_once == 1 or not self._left:
            self.times.append(time.perf_counter() - self._began)
        if not self._left:
            self._end()
        elif self._at_once == 1:
            self._began = time.perf_counter()
            self._send()

    def _end(self) -> None:
        channel = self._raw.channel
        channel.queue_delete(self._claims)
        channel.queue_delete(self._replies, callback=lambda frame: self._raw.stop())


def consume(url: str, number: int, prefetch: int) -> float:
    """Seconds to take and acknowledge so many messages."""
    times: list[float] = []

    def ready(raw: Raw) -> None:
        def take(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            nonlocal left
            channel.basic_ack(method.delivery_tag)
            left -= 1
            if not left:
                times.append(time.perf_counter() - began)
                raw.stop()

        left, began = number, time.perf_counter()
        raw.channel.basic_qos(prefetch_count=prefetch)
        raw.channel.basic_consume(STREAM, take)

    Raw(url, ready).run()
    return times[0]


def fill(url: str, number: int) -> None:
    """Has so many messages wait in the queue for ``consume``."""

    def ready(raw: Raw) -> None:
        for _ in range(number):
            raw.publish("", STREAM, STEP, correlation_id=new_id(), message_id=new_id())

        def look() -> None:
            if raw.outstanding:
                raw.connection.ioloop.call_later(0.01, look)
            else:
                raw.stop()

        look()

    raw = Raw(url, ready)
    raw.run()
    raw.connection.close()


def make_queues(url: str) -> None:
    """What both need, as Headway declares it, and empty."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.exchange_declare(EXCHANGE, "topic", durable=True)
    for name in (STEPS, STREAM):
        channel.queue_delete(name)
        channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind(STEPS, EXCHANGE, STEPS)
    connection.close()
