"""Measures steps over RabbitMQ beside raw pika, what a worker weighs, and whether it grows.

    python bench/bus.py                     on a private RabbitMQ of its own
    python bench/bus.py --url amqp://...    on another one, where nobody else uses `worker.bench`
    python bench/bus.py --profile worker    where its time goes, one step at a time; or: sender
    python bench/bus.py --steps 100000      that many steps through one worker, with its memory

A step is ten messages: the step itself to a quorum queue; the worker's claim and the sender's
grant; `started`, three lines of output, `completed`; and the two lines of output that a worker
adds. It has taken as long as it took until the sender had heard `completed` and the last line.
Headway is its Worker as `headway worker` serves it, and its StepSender as `headway step` sends.
Beside it stands raw_pika.py, the least that exchanges the same messages: the same queues,
properties, confirms and persistence, one thread on each side, nothing checked. Sender and worker
are processes of their own. N in hand: N worker objects with a prefetch of 1 each (`--concurrency
N`), and a prefetch of N for raw pika, whose callbacks never wait.

Consumed: what is in a quorum queue is given to a handler, in its thread, which acknowledges it.

The engines take turns, so that a busy moment of the machine meets both: the figures are the
medians of the rounds, and the ratio is the median of the rounds' ratios.
"""

import argparse
import cProfile
import logging
import multiprocessing
import pstats
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import raw_pika
from bench.servers import broker

LONGEST_RATIO = 1.3  # one at a time, beside raw pika
LEAST_SHARE = 0.7  # a second, of raw pika's
AT_ONCE = 1000


# Headway


def serve(url: str, concurrency: int, told: Connection) -> None:
    """Works on steps until SIGTERM."""
    from headway.runtime.worker import Worker
    from headway.runtime.worker_runner import serve

    class BenchWorker(Worker):
        def process(self, channel: Any, deliver: Any, properties: Any, body: Any, output: Any):  # type: ignore[no-untyped-def]
            self.ack(deliver)
            reply_to, run = properties.reply_to, properties.correlation_id
            self.send(reply_to, run, {"status": "started"}, "")
            for number in range(raw_pika.LINES):
                output.info(f"line {number}")
            done = {"status": "completed", "data": {"result": "done"}}
            self.send(reply_to, run, done, "")

        def _connect(self) -> None:
            super()._connect()
            told.send("ready")

    serve(BenchWorker, url, None, quiet(), concurrency)


def quiet() -> logging.Logger:
    logger = logging.getLogger("bench")
    logger.setLevel(logging.ERROR)
    return logger


def request(url: str, number: int, at_once: int) -> list[float]:
    """Seconds of each step; with several at once, of all of them."""
    from headway.runtime.sending import StepSender
    from headway.wire.messages import StepMessage

    bus = open_bus(url)
    sender = StepSender(bus)
    sender.open()
    message = StepMessage.from_plain(raw_pika.STEP)
    times = []
    for _ in range(number // at_once):
        began = time.perf_counter()
        steps = [sender.send(raw_pika.COMMAND, message) for _ in range(at_once)]
        for step in steps:
            for _news in step.heard():
                pass
        times.append(time.perf_counter() - began)
        for step in steps:
            sender.forget(step)
    sender.close()
    bus.close()
    return times


def consume(url: str, number: int, prefetch: int) -> float:
    """Seconds to take and acknowledge so many messages."""
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
    bus.consume(raw_pika.STREAM, take, prefetch=prefetch)
    over.wait()
    took = time.perf_counter() - began
    bus.close()
    return took


def open_bus(url: str) -> Any:
    from headway.adapters.bus_address import parse_bus_url
    from headway.runtime.buses import make_bus

    bus = make_bus(parse_bus_url(url))
    bus.open()
    return bus


# Both

ENGINES: dict[str, tuple[Any, Any, Any]] = {
    "pika": (raw_pika.serve, raw_pika.request, raw_pika.consume),
    "headway": (serve, request, consume),
}


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
    """While somebody works on steps."""

    def __init__(self, serving: Callable[..., Any], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._told, theirs = context.Pipe()
        self._process = context.Process(target=serving, args=(*arguments, theirs))

    def __enter__(self) -> int:
        self._process.start()
        self._told.recv()
        assert self._process.pid is not None
        return self._process.pid

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()


def steps(engine: str, url: str, number: int, at_once: int, in_hand: int) -> float:
    """Milliseconds of the median step, or with several at once how many a second."""
    raw_pika.make_queues(url)
    serving, requesting, _ = ENGINES[engine]
    with Served(serving, url, in_hand):
        times = in_a_process(warmed_up, requesting, url, number, at_once)
    return 1000 * statistics.median(times) if at_once == 1 else number / times[0]


def warmed_up(requesting: Callable[..., Any], url: str, number: int, at_once: int) -> list[float]:
    requesting(url, 50, 1)
    times: list[float] = requesting(url, number, at_once)
    return times


def consumed(engine: str, url: str, number: int, prefetch: int) -> float:
    """Messages a second."""
    raw_pika.make_queues(url)
    raw_pika.fill(url, number)
    took: float = in_a_process(ENGINES[engine][2], url, number, prefetch)
    return number / took


def compare(title: str, rounds: int, measure: Callable[[str], float], unit: str, bar: str) -> None:
    """Prints what both reach, and Headway's as a multiple of pika's."""
    found: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    for _ in range(rounds):
        for engine, figures in found.items():
            figures.append(measure(engine))
    raw, ours = (statistics.median(figures) for figures in found.values())
    ratio = statistics.median(
        ours / raw for raw, ours in zip(found["pika"], found["headway"], strict=True)
    )
    print(f"{title:36}{raw:10.2f} {unit}{ours:12.2f} {unit}{ratio:8.2f}  {bar}", flush=True)


def measure_all(url: str, rounds: int, number: int) -> None:
    print(f"{'':36}{'pika':>10}   {'headway':>12}   {'ratio':>8}  bar")
    compare(
        "a step, one at a time",
        2 * rounds,
        lambda engine: steps(engine, url, number, 1, 1),
        "ms",
        f"at most {LONGEST_RATIO}",
    )
    for in_hand in (1, 10):
        compare(
            f"steps, {AT_ONCE:,} at once, {in_hand} in hand",
            rounds,
            lambda engine, n=in_hand: steps(engine, url, AT_ONCE, AT_ONCE, n),  # type: ignore[misc]
            "/s",
            f"at least {LEAST_SHARE}",
        )
    for prefetch in (1, 10, 100):
        compare(
            f"consumed, prefetch {prefetch}",
            rounds,
            lambda engine, n=prefetch: consumed(engine, url, 20 * number, n),  # type: ignore[misc]
            "/s",
            "",
        )


def measure_growth(url: str, number: int) -> None:
    """Memory of one worker that is sent this many steps."""
    raw_pika.make_queues(url)
    print(f"{'steps':>10}{'worker':>12}")
    with Served(serve, url, 1) as pid:
        print(f"{0:>10,}{resident_mb(pid):>9.1f} MB", flush=True)
        for done in range(number // 20, number + 1, number // 20):
            in_a_process(request_many, url, number // 20)
            print(f"{done:>10,}{resident_mb(pid):>9.1f} MB", flush=True)


def request_many(url: str, number: int) -> None:
    request(url, number, min(AT_ONCE, number))


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    return 0.0


def profile(url: str, number: int, side: str) -> None:
    raw_pika.make_queues(url)
    serving = profiled_serve if side == "worker" else serve
    with Served(serving, url, 1):
        if side == "sender":
            profile_threads(lambda: request(url, number, 1))
        else:
            in_a_process(request, url, number, 1)


def profiled_serve(url: str, concurrency: int, told: Connection) -> None:
    profile_threads(lambda: serve(url, concurrency, told))


def profile_threads(work: Callable[[], object]) -> None:
    """Prints where the threads of the bus spend their time."""
    profilers: dict[str, cProfile.Profile] = {}
    original = threading.Thread.run

    def run(thread: threading.Thread) -> None:
        if not thread.name.startswith("headway-bus"):
            return original(thread)
        profiler = profilers.setdefault(thread.name, cProfile.Profile())
        return profiler.runcall(original, thread)

    threading.Thread.run = run  # type: ignore[method-assign]
    work()
    for name, profiler in profilers.items():
        print(f"\n\nThread {name}")
        pstats.Stats(profiler).sort_stats("tottime").print_stats(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", help="of a RabbitMQ that may be used (default: a private one)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--number", type=int, default=200, help="of steps, one at a time")
    parser.add_argument("--profile", choices=("worker", "sender"))
    parser.add_argument("--steps", type=int, help="measure memory over so many steps instead")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    def work(url: str) -> None:
        if arguments.profile:
            profile(url, arguments.number, arguments.profile)
        elif arguments.steps:
            measure_growth(url, arguments.steps)
        else:
            measure_all(url, arguments.rounds, arguments.number)

    if arguments.url:
        work(arguments.url)
        return
    with broker() as url:
        work(url)


if __name__ == "__main__":
    main()
