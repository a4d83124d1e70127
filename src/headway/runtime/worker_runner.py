"""Runs workers: from the command line of a worker's own file, and for ``headway worker``."""

import argparse
import logging
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
from headway.runtime.worker_config import read_config
from headway.runtime.worker_log import app_logger

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
        "--concurrency", type=_positive, default=1, metavar="N",
        help="steps at once, each with a worker object of its own (default: 1)",
    )  # fmt: skip
    typed = parser.parse_args(arguments)
    logger = app_logger(worker_class.__name__, sys.stdout if typed.log_stdout else sys.stderr)
    try:
        mq_config = read_config(Path(typed.mq_config))
        serve(worker_class, mq_config, typed.worker_config, logger, typed.concurrency)
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
) -> None:
    """Serve with so many objects on one connection, until SIGTERM or Ctrl-C."""
    arguments: dict[str, Any] = {"config_file": config_file}
    if logger is not None:
        arguments["logger"] = logger
    first = worker_class(mq_config, **arguments)
    others = [worker_class(first._service.connection, **arguments) for _ in range(concurrency - 1)]

    def stop() -> None:
        for worker in (first, *others):
            worker.stop()

    with stopped_by_signals(stop):
        threads = [
            threading.Thread(target=one.run_forever, name=f"headway-worker {number}", daemon=True)
            for number, one in enumerate(others, 2)
        ]
        for thread in threads:
            thread.start()
        try:
            first._connect()
            first._service.begin()
            first._service.stopping.wait()
        finally:
            stop()
            for thread in threads:
                thread.join()
            first._leave()


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM stops; so does Ctrl-C, the second of which ends the process as it always does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        # Not here: a handler runs between two instructions of a thread that may hold a lock.
        threading.Thread(target=stop, name="headway-worker stop", daemon=True).start()

    signals = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, on_signal) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 1000:
        raise argparse.ArgumentTypeError("1 to 1000")
    return number
