"""Measures the bus beside raw pika: round trips, and messages consumed in a second.

    python bench/bus.py                        on a private RabbitMQ of its own
    python bench/bus.py --url amqp://...       on another one (queues named bench.* come and go)
    python bench/bus.py --profile              where the requesting side's time goes, one at a time

A round trip: a request goes to a queue, whoever serves that queue answers to the reply queue with
the same correlation id, and settles the request. Everything published is persistent, confirmed
and mandatory, on both sides; raw pika is a SelectConnection whose callbacks do the work, with
confirms pipelined, which is the least that pika can cost. Requester and server are processes of
their own. The engines take turns; the median of the rounds counts.
"""

import argparse
import cProfile
import json
import multiprocessing
import pstats
import statistics
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import pika

REQUESTS, REPLIES, STREAM = "bench.requests", "bench.replies", "bench.stream"
BODY = json.dumps({"host": "web01.example.net", "parameters": {"service": "httpd"}}).encode()
BARS = {"one at a time": 1.3, "1,000 at once": 0.7}


# Raw pika


class Raw:
    """A SelectConnection in this thread, with one channel in confirm mode."""

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

    def publish(self, key: str, correlation_id: str) -> None:
        self.sent += 1
        self.outstanding.add(self.sent)
        self.channel.basic_publish(
            "",
            key,
            BODY,
            pika.BasicProperties(
                content_type="application/json",
                delivery_mode=2,
                correlation_id=correlation_id,
                reply_to=REPLIES,
                message_id=correlation_id,
            ),
            mandatory=True,
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


def raw_server(url: str, prefetch: int, told: Connection) -> None:
    def ready(raw: Raw) -> None:
        def answer(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            raw.publish(properties.reply_to, properties.correlation_id)
            channel.basic_ack(method.delivery_tag)

        raw.channel.basic_qos(prefetch_count=prefetch)
        raw.channel.basic_consume(REQUESTS, answer, callback=lambda frame: told.send("ready"))

    raw = Raw(url, ready)
    watch_for_end(told, lambda: raw.connection.ioloop.add_callback_threadsafe(raw.stop))
    raw.run()


def raw_requester(url: str, number: int, at_once: int) -> list[float]:
    """Seconds of each round trip; with several at once, of all of them."""
    times: list[float] = []

    def ready(raw: Raw) -> None:
        def answered(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            channel.basic_ack(method.delivery_tag)
            nonlocal began, left
            left -= 1
            if at_once == 1:
                times.append(time.perf_counter() - began)
                began = time.perf_counter()
                if left:
                    raw.publish(REQUESTS, str(left))
            elif not left:
                times.append(time.perf_counter() - began)
            if not left:
                raw.stop()

        def begin(frame: Any) -> None:
            nonlocal began
            began = time.perf_counter()
            for one in range(at_once):
                raw.publish(REQUESTS, str(one))

        began, left = 0.0, number
        raw.channel.basic_qos(prefetch_count=100)
        raw.channel.basic_consume(REPLIES, answered, callback=begin)

    raw = Raw(url, ready)
    raw.run()
    return times


def raw_consumer(url: str, number: int, prefetch: int) -> float:
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

    raw = Raw(url, ready)
    raw.run()
    return times[0]


# Headway


def open_bus(url: str) -> Any:
    from headway.adapters.bus_address import RabbitAddress, parse_bus_url
    from headway.adapters.rabbitmq.bus import RabbitBus

    address = parse_bus_url(url)
    assert isinstance(address, RabbitAddress)
    bus = RabbitBus(address)
    bus.open()
    return bus


def request(correlation_id: str) -> Any:
    from headway.ports.bus import Message

    return Message(
        BODY,
        "application/json",
        correlation_id=correlation_id,
        reply_to=REPLIES,
        message_id=correlation_id,
    )


def headway_server(url: str, prefetch: int, told: Connection) -> None:
    from headway.ports.bus import Settlement

    bus = open_bus(url)

    def answer(delivery: Any) -> None:
        message = delivery.message
        bus.publish(request(message.correlation_id), message.reply_to)
        bus.settle(delivery, Settlement.ACK)

    bus.consume(REQUESTS, answer, prefetch=prefetch)
    told.send("ready")
    told.recv()
    bus.close()


def headway_requester(url: str, number: int, at_once: int) -> list[float]:
    from headway.ports.bus import Settlement

    bus = open_bus(url)
    times: list[float] = []
    over = threading.Event()
    left = number

    if at_once == 1:
        arrived = threading.Semaphore(0)

        def answered(delivery: Any) -> None:
            bus.settle(delivery, Settlement.ACK)
            arrived.release()

        bus.consume(REPLIES, answered, prefetch=100, inline=True)
        for one in range(number):
            began = time.perf_counter()
            bus.publish(request(str(one)), REQUESTS)
            arrived.acquire()
            times.append(time.perf_counter() - began)
    else:

        def counted(delivery: Any) -> None:
            nonlocal left
            bus.settle(delivery, Settlement.ACK)
            left -= 1
            if not left:
                over.set()

        bus.consume(REPLIES, counted, prefetch=100)
        began = time.perf_counter()
        for one in range(at_once):
            bus.publish(request(str(one)), REQUESTS)
        over.wait()
        times.append(time.perf_counter() - began)
    bus.close()
    return times


def headway_consumer(url: str, number: int, prefetch: int) -> float:
    from headway.ports.bus import Settlement

    bus = open_bus(url)
    over = threading.Event()
    left = number

    def take(delivery: Any) -> None:
        nonlocal left
        bus.settle(delivery, Settlement.ACK)
        left -= 1
        if not left:
            over.set()

    began = time.perf_counter()
    bus.consume(STREAM, take, prefetch=prefetch)
    over.wait()
    took = time.perf_counter() - began
    bus.close()
    return took


# Both

ENGINES: dict[str, tuple[Any, Any, Any]] = {
    "pika": (raw_server, raw_requester, raw_consumer),
    "headway": (headway_server, headway_requester, headway_consumer),
}


def watch_for_end(told: Connection, stop: Callable[[], object]) -> None:
    def watch() -> None:
        told.recv()
        stop()

    threading.Thread(target=watch, daemon=True).start()


def in_a_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """What WORK returns, called in a fresh process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_reporting, args=(theirs, work, arguments))
    process.start()
    theirs.close()
    result = ours.recv()
    process.join()
    return result


def _reporting(told: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    told.send(work(*arguments))


class Served:
    """While somebody serves the requests."""

    def __init__(self, engine: str, url: str, prefetch: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._told, theirs = context.Pipe()
        self._process = context.Process(target=ENGINES[engine][0], args=(url, prefetch, theirs))

    def __enter__(self) -> None:
        self._process.start()
        self._told.recv()

    def __exit__(self, *_: object) -> None:
        self._told.send("end")
        self._process.join()


def with_fresh_queues(url: str, *names: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    for name in names:
        channel.queue_delete(name)
        channel.queue_declare(name, durable=True)
    connection.close()


def fill(url: str, number: int) -> None:
    def ready(raw: Raw) -> None:
        for one in range(number):
            raw.publish(STREAM, str(one))

        def look() -> None:
            if raw.outstanding:
                raw.connection.ioloop.call_later(0.01, look)
            else:
                raw.stop()

        look()

    with_fresh_queues(url, STREAM)
    raw = Raw(url, ready)
    raw.run()
    raw.connection.close()


def round_trips(engine: str, url: str, number: int, at_once: int, prefetch: int) -> float:
    """Milliseconds of the median round trip, or with several at once how many a second."""
    with_fresh_queues(url, REQUESTS, REPLIES)
    with Served(engine, url, prefetch):
        in_a_process(ENGINES[engine][1], url, 200, 1)  # warm
        times = in_a_process(ENGINES[engine][1], url, number, at_once)
    return 1000 * statistics.median(times) if at_once == 1 else number / times[0]


def consumed(engine: str, url: str, number: int, prefetch: int) -> float:
    """Messages a second."""
    fill(url, number)
    took: float = in_a_process(ENGINES[engine][2], url, number, prefetch)
    return number / took


def compare(title: str, rounds: int, measure: Callable[[str], float], unit: str) -> float:
    """Prints the medians of both, and returns Headway's as a multiple of pika's."""
    found: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    for _ in range(rounds):
        for engine, figures in found.items():
            figures.append(measure(engine))
    medians = {engine: statistics.median(figures) for engine, figures in found.items()}
    ratio = medians["headway"] / medians["pika"]
    print(
        f"{title:36}{medians['pika']:10.2f}{medians['headway']:10.2f} {unit:4}{ratio:8.2f}",
        flush=True,
    )
    return ratio


def measure_all(url: str, rounds: int, number: int) -> None:
    print(f"{'':36}{'pika':>10}{'headway':>10} {'':4}{'ratio':>8}")
    compare(
        "round trip, one at a time",
        rounds,
        lambda engine: round_trips(engine, url, number, 1, 1),
        "ms",
    )
    for prefetch in (1, 10, 100):
        compare(
            f"round trips, 1,000 at once, prefetch {prefetch}",
            rounds,
            lambda engine, n=prefetch: round_trips(engine, url, 1000, 1000, n),  # type: ignore[misc]
            "/s",
        )
    for prefetch in (1, 10, 100):
        compare(
            f"consumed, prefetch {prefetch}",
            rounds,
            lambda engine, n=prefetch: consumed(engine, url, 3 * number, n),  # type: ignore[misc]
            "/s",
        )
    with_fresh_queues(url, REQUESTS, REPLIES, STREAM)
    print(f"\nbars: one at a time at most {BARS['one at a time']},", end=" ")
    print(f"1,000 at once at least {BARS['1,000 at once']}")


def profile(url: str, number: int) -> None:
    """Of the requester, all threads."""
    with_fresh_queues(url, REQUESTS, REPLIES)
    profiler = cProfile.Profile()
    original = threading.Thread.run

    def run(thread: threading.Thread) -> None:
        if thread.name == "headway-bus":
            profiler.runcall(original, thread)
        else:
            original(thread)

    threading.Thread.run = run  # type: ignore[method-assign]
    with Served("headway", url, 100):
        headway_requester(url, number, number)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(35)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", help="of a RabbitMQ that may be used (default: a private one)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--number", type=int, default=1000)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()

    def work(url: str) -> None:
        if arguments.profile:
            profile(url, arguments.number)
        else:
            measure_all(url, arguments.rounds, arguments.number)

    if arguments.url:
        work(arguments.url)
        return
    from tests.services.rabbitmq import RabbitNode, find_server

    server = find_server()
    if server is None:
        sys.exit("there is no RabbitMQ to measure on: ./check --services installs it")
    node = RabbitNode(server)
    try:
        vhost, password = node.make_vhost()
        work(node.url(vhost, password, vhost))
    finally:
        node.close()


if __name__ == "__main__":
    main()
