"""Runs workers: from the command line of a worker's own file, and for ``headway worker``."""

import argparse
import logging
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from headway.errors import HeadwayError
from headway.runtime.worker import Worker
from headway.runtime.worker_config import STOP_LIMIT_S, read_config
from headway.runtime.worker_connection import WorkerConnection
from headway.runtime.worker_log import process_logger

SWITCH_S = 0.0005  # what a step that computes may keep the thread waiting that has its messages
DESCRIPTION = "Serve this worker's command until told to stop (Ctrl-C, SIGTERM)."


def runner(worker_class: type[Worker], arguments: Sequence[str] | None = None) -> None:
    """Read the command line and serve. Ends the process with 1 when that fails."""
    parser = argparse.ArgumentParser(description=DESCRIPTION)
    parser.add_argument("mq_config", metavar="MQ_CONFIG", help="JSON file: where the bus is")
    parser.add_argument("-w", "--worker-config", metavar="FILE", help="JSON file for the worker")
    parser.add_argument(
        "--log-stdout", action="store_true", help="log to standard output, not standard error"
    )
    parser.add_argument(
        "--concurrency", type=_objects, default=1, metavar="N",
        help="steps at once, each with a worker object of its own (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--stop-limit", type=_seconds, metavar="S",
        help=f"seconds that a step in hand has when told to stop (default: {STOP_LIMIT_S:g}, or"
        " the configuration's STOP_LIMIT_S)",
    )  # fmt: skip
    typed = parser.parse_args(arguments)
    logger = process_logger(worker_class.__name__, sys.stdout if typed.log_stdout else sys.stderr)
    try:
        mq_config = read_config(Path(typed.mq_config))
        serve(
            worker_class,
            mq_config,
            typed.worker_config,
            logger,
            typed.concurrency,
            typed.stop_limit,
        )
    except KeyboardInterrupt:
        pass
    except HeadwayError as error:
        print(f"{worker_class.__name__}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except Exception as error:
        print(f"{worker_class.__name__}: {type(error).__name__}: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def serve(
    worker_class: type[Worker],
    mq_config: Any,
    config_file: str | None,
    logger: logging.Logger | None = None,
    concurrency: int = 1,
    stop_limit_s: float | None = None,
) -> None:
    """Serve with so many objects on one connection, until SIGTERM or Ctrl-C.

    When one of them ends by itself, all do: what it raised, the next would meet as well, and a
    process that serves with fewer than it was told to says so to nobody. Whoever watches over
    the process starts it anew. The steps in hand are finished first, with the usual limit.

    ``stop_limit_s``: how long the steps in hand have then, in place of what the configuration
    says. Raises: what the first that failed has raised.
    """
    arguments: dict[str, Any] = {"config_file": config_file}
    if logger is not None:
        arguments["logger"] = logger
    first = worker_class(mq_config, **arguments)
    connection = first._service.connection
    others = [worker_class(connection, **arguments) for _ in range(concurrency - 1)]
    workers = (first, *others)
    first._shares_connection = True  # with the others: it is closed when all have left
    if stop_limit_s is not None:
        for worker in workers:
            worker._service.stop_limit_s = stop_limit_s

    def stop() -> None:
        for worker in workers:
            worker.stop()
        limit_s = first._service.stop_limit_s
        first.app_logger.info("stopping; a step in hand has %g s, a second signal ends it", limit_s)

    with stopped_by_signals(stop), switching(SWITCH_S):
        _serve_all(workers, connection)


def _serve_all(workers: Sequence[Worker], connection: WorkerConnection) -> None:
    """Until one of them ends, and with it all. Raises: what the first that failed has raised."""
    failures: list[BaseException] = []

    def run(number: int, worker: Worker) -> None:
        try:
            worker.run_forever()
        except BaseException as error:
            failures.append(error)
            if len(workers) > 1:
                what = f"{type(error).__name__}: {error}"
                worker.app_logger.error("worker %d failed, so all stop: %s", number, what)
        finally:
            for one in workers:
                one.stop()

    threads = [
        threading.Thread(
            target=run, args=(number, one), name=f"headway-worker {number}", daemon=True
        )
        for number, one in enumerate(workers[1:], 2)
    ]
    for thread in threads:
        thread.start()
    try:
        run(1, workers[0])
        for thread in threads:
            thread.join()
    finally:
        connection.close()
    if failures:
        raise failures[0]


@contextmanager
def switching(interval_s: float) -> Iterator[None]:
    """Have threads take turns more often than Python has them (5 ms), until the block ends."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(interval_s)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM or Ctrl-C stops; the second of either ends the process where it stands.

    Nothing is lost with it: what is not acknowledged the broker delivers again, and who granted
    an attempt sees that its worker has gone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGTERM, signal.SIGINT)
    before: dict[signal.Signals, Any] = {}

    def on_signal(number: int, frame: FrameType | None) -> None:
        for again in signals:
            signal.signal(again, signal.SIG_DFL)
        # Not here: a handler runs between two instructions of a thread that may hold a lock.
        threading.Thread(target=stop, name="headway-worker stop", daemon=True).start()

    for number in signals:
        before[number] = signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _objects(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to 1000")
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0")
    return seconds
