"""Lives of a run: each in a process of its own, which may be killed where the test says.

One small process without threads is started for many lives and forks for each, so that a life
costs some hundredths of a second. It is told a life as a line of JSON and answers with another.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 60.0


@dataclass(frozen=True)
class Life:
    """One process's part in a run, and how it is to end."""

    url: str  # the store
    target: str
    inputs: dict[str, Any]
    directory: str
    resume: bool = False  # the last run, rather than a new one
    retry: bool = False  # with the jobs that failed tried anew
    on: str = "inline"
    slots: int = 1
    die_at: int = 0  # by SIGKILL, at this commit; 0: not at all
    when: str = "after"  # or "before" that commit
    kill_after_s: float | None = None  # by SIGKILL from outside, wherever it then stands
    kill_at: str = ""  # by SIGKILL from outside, once this file is there


@dataclass(frozen=True)
class End:
    """How a life ended."""

    killed: bool
    commits: int = 0  # of a life that was not killed
    state: str = ""  # of the run, where it came to an end
    error: str = ""  # type of what stopped it
    message: str = ""


class LifeGiver:
    """Forks lives, one after the other."""

    def __enter__(self) -> "LifeGiver":
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from tests.faults.lives import serve; serve()"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(DEADLINE_S)
        finally:
            self._process.kill()
            self._process.stdout.close()

    def live(self, life: Life) -> End:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(life)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that gives lives has ended"
        return End(**json.loads(answer))


def serve() -> None:
    """Fork a life for each line of input."""
    # Imported once here, so that no life has to.
    import headway.adapters.inline
    import headway.adapters.opening
    import headway.adapters.processes
    import headway.adapters.sqlite
    import headway.adapters.threads
    import headway.runtime.launching  # noqa: F401

    for line in sys.stdin:
        end = _lived(Life(**json.loads(line)))
        print(json.dumps(asdict(end)), flush=True)


def _lived(life: Life) -> End:
    hears, tells = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(hears)
        _live_and_tell(life, tells)
    os.close(tells)
    try:
        killed = _watched(life, pid, hears)
        _, status = os.waitpid(pid, 0)
        told = b"" if killed else os.read(hears, 1 << 16)
    finally:
        os.close(hears)
    if told:
        return End(**json.loads(told))
    if killed == "hung":
        return End(False, error="Hung", message=f"a life went on for more than {DEADLINE_S:g} s")
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return End(True)
    return End(False, error="Vanished", message=f"a life ended with status {status}")


def _watched(life: Life, pid: int, hears: int) -> str:
    """Wait for a life's end, or end it when its time has come: "killed", or "hung"."""
    began_at = time.monotonic()
    patience_s = DEADLINE_S if life.kill_after_s is None else life.kill_after_s
    while True:
        left_s = began_at + patience_s - time.monotonic()
        if left_s <= 0 or (life.kill_at and os.path.exists(life.kill_at)):
            os.kill(pid, signal.SIGKILL)
            return "hung" if left_s <= 0 and life.kill_after_s is None else "killed"
        if select.select([hears], [], [], min(left_s, 0.005) if life.kill_at else left_s)[0]:
            return ""


def _live_and_tell(life: Life, tells: int) -> None:
    code = 1
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)  # the tests' input is not the jobs'
        os.write(tells, json.dumps(asdict(_live(life))).encode())
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _live(life: Life) -> End:
    from headway.errors import HeadwayError
    from headway.jobs.events import decode
    from headway.runtime import launching
    from headway.runtime.targets import load
    from headway.testing.faults import DyingStore

    os.chdir(life.directory)
    store = DyingStore(open_store(life.url), life.die_at, life.when)  # type: ignore[arg-type]
    options = launching.Options(slots=life.slots, on=life.on)
    try:
        if life.resume or life.retry:
            record = store.find(None)
            loaded, _ = launching.reload(store, record)
            retry = None
            if life.retry:
                events = [decode(entry.row) for entry in store.journal(record.id)]
                retry = launching.retry_keys(loaded.plan, events, None)
            runner = launching.take_up(store, record, loaded, executor(life), options, retry=retry)
        else:
            loaded = load(life.target, life.inputs)
            runner = launching.begin(store, loaded, executor(life), options)
        state = launching.carry_out(runner)
    except HeadwayError as error:
        return End(False, store.commits, "", type(error).__name__, str(error))
    return End(False, store.commits, str(state))


def executor(life: Life) -> Any:
    from headway.runtime.executors import make

    return make(life.on, life.slots)


def open_store(url: str) -> Any:
    """The store at a path or URL, made ready if it is new."""
    from headway.adapters.opening import open_store

    store = open_store(url, check_version=False)
    store.upgrade()
    return store
