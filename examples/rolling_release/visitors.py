"""Visits the site all the time while a command runs, and says what visitors were answered.

    python visitors.py COMMAND ARGUMENT...

    --kill-at VERSION    kill -9 the command when the first visitor is answered by that version

The exit code is the command's, or 70 if a visitor was not answered well.
"""

import argparse
import subprocess
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable

from machines import SITE

VISITORS = 3  # at a time
PAUSE_S = 0.01  # between two visits of one
BAD = 70


class Visits:
    """What visitors were answered. Thread-safe."""

    def __init__(self, arrived: Callable[[str], None]) -> None:
        self._arrived = arrived  # is told of each version when it is seen
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._visit) for _ in range(VISITORS)]
        self.answers: Counter[str] = Counter()  # by version
        self.failures: Counter[str] = Counter()  # by what was answered instead

    def __enter__(self) -> "Visits":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _visit(self) -> None:
        while not self._over.is_set():
            version, failure = visit()
            with self._lock:
                if failure:
                    self.failures[failure] += 1
                else:
                    self.answers[version] += 1
                    self._arrived(version)
            self._over.wait(PAUSE_S)

    def told(self) -> str:
        """A line, and one more for each way in which something went wrong."""
        bad = self.failures.total()
        parts = [f"{count} answered by version {v}" for v, count in sorted(self.answers.items())]
        parts.append(f"{bad} went wrong" if bad else "none went wrong")
        lines = [f"{count} times: {failure}" for failure, count in self.failures.items()]
        total = self.answers.total() + bad
        return "\n  ".join([f"{total} visits: {', '.join(parts)}", *lines])


def visit() -> tuple[str, str]:
    """The version that answered, and what went wrong if something did."""
    try:
        with urllib.request.urlopen(f"http://{SITE}/", timeout=30) as answer:
            answer.read()
            return answer.headers["Version"], ""
    except urllib.error.HTTPError as error:
        return "", f"{error.code} {error.read().decode(errors='replace').strip()}"
    except OSError as error:
        return "", str(error)


def main() -> int:
    parser = argparse.ArgumentParser(description="Visit the site while a command runs.")
    parser.add_argument("--kill-at", metavar="VERSION")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    typed = parser.parse_args()
    process: subprocess.Popen[bytes] | None = None

    def arrived(version: str) -> None:
        if process is not None and version == typed.kill_at:
            process.kill()

    with Visits(arrived) as visits:
        process = subprocess.Popen(typed.command)
        code = process.wait()
    print(visits.told(), flush=True)
    if visits.failures:
        return BAD
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    raise SystemExit(main())
