"""Commands that jobs run: in a group of their own, bounded, ended with the run."""

import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from headway.adapters.groups import GRACE_S, end_watch, how_ended, signal_group
from headway.adapters.groups import end_group as end_group  # also found here by its users
from headway.adapters.lines import Lines
from headway.jobs.job import Completed

MARK = "HEADWAY_TRY"  # in a command's environment: the run, key and number of its try
# At a deadline, less than executors wait (2 s), so that a try whose command ignores TERM still
# comes to an end by itself.
LATE_GRACE_S = 1.5
_KEPT_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_LOOK_S = 0.1  # how often a wait looks whether it should stop


class CommandFailed(Exception):
    """A command ended with a code other than 0, or was stopped."""

    def __init__(self, completed: Completed, why: str) -> None:
        super().__init__(why)
        self.completed = completed


@cache
def _setpriv() -> str | None:
    """A program of util-linux that makes the kernel end the command when its parent dies."""
    return shutil.which("setpriv")


def run(
    argv: Sequence[str],
    *,
    check: bool,
    cwd: str | None,
    env: Mapping[str, str] | None,
    input: str | None,
    wrote: Callable[[str, str], None],
    started: Callable[[int], None],
    over: Callable[[int], None],
    ends_at: Callable[[], float | None],
    stopping: Callable[[], bool],
    inherit: bool = True,
) -> Completed:
    """Run a command to its end.

    ``env`` is added to this process's environment; without ``inherit`` it is all there is, and
    what the command makes is for its user alone (umask 077).

    ``wrote`` is given ("out" or "err", line) as lines come; ``started`` and ``over`` the process
    id. ``ends_at`` (monotonic; None: no bound) and ``stopping`` are asked again and again.
    Raises: CommandFailed, FileNotFoundError.
    """
    argv = _checked(argv)
    process = _begun(argv, cwd, env, input, inherit)
    try:
        started(process.pid)
        reading = _Reading(process, wrote)
        stopped = reading.to_the_end(ends_at, stopping)
    except BaseException:
        _end(process)
        raise
    finally:
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
        over(process.pid)
    completed = Completed(tuple(argv), process.returncode, reading.text("out"), reading.text("err"))
    if stopped:
        raise CommandFailed(completed, f"{_shown(argv)} was stopped: {stopped}")
    if check and process.returncode:
        raise CommandFailed(completed, _why(completed))
    return completed


def start(
    argv: Sequence[str],
    *,
    cwd: str | None,
    env: Mapping[str, str] | None,
    stdout: str | None,
) -> int:
    """Start a process in a session of its own, which outlives the run; its process id."""
    argv = _checked(argv)
    target = os.open(stdout or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            [_found(argv[0], cwd, env), *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=target,
            cwd=cwd,
            env=_unmarked(env),
            start_new_session=True,
        )
    finally:
        os.close(target)
    # Nobody waits for it: it is not ours any more. Popen would warn when it is forgotten.
    process.returncode = 0
    return process.pid


def marked(env: Mapping[str, str] | None, run: str, key: int, number: int) -> Mapping[str, str]:
    """An addition to the environment that also tells whose command it is.

    What the command starts inherits it. So all of it can be found, should the run's process die
    before it has taken note of the command.
    """
    return {**(env or {}), MARK: f"{run} {key} {number}"}


def _unmarked(env: Mapping[str, str] | None) -> dict[str, str]:
    """An environment for what is to outlive the run, and any run that this one is a command of."""
    return {name: text for name, text in {**os.environ, **(env or {})}.items() if name != MARK}


def _begun(
    argv: Sequence[str],
    cwd: str | None,
    env: Mapping[str, str] | None,
    input: str | None,
    inherit: bool,
) -> "subprocess.Popen[bytes]":
    program = _found(argv[0], cwd, env)
    setpriv = _setpriv()
    prefix = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
    with tempfile.TemporaryFile() if input is not None else open(os.devnull, "rb") as stdin:
        if input is not None:
            stdin.write(input.encode())
            stdin.seek(0)
        return subprocess.Popen(
            [*prefix, program, *argv[1:]],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=_environment(env, inherit),
            umask=-1 if inherit else 0o077,
            # A session, not only a group: what asks the terminal for a password is refused at
            # once, where a group in the background would be stopped and wait for ever.
            start_new_session=True,
        )


def _environment(env: Mapping[str, str] | None, inherit: bool) -> dict[str, str] | None:
    if not inherit:
        return dict(env or {})
    return None if env is None else {**os.environ, **env}


def _end(process: "subprocess.Popen[bytes]") -> None:
    signal_group(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        signal_group(process.pid, signal.SIGKILL)
        process.wait()


class _Reading:
    """Reads what a command writes until it is over or its time is."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", wrote: Callable[[str, str], None]
    ) -> None:
        self._process = process
        self._kept = {"out": bytearray(), "err": bytearray()}
        self._lines = {
            "out": Lines(lambda text: wrote("out", text)),
            "err": Lines(lambda text: wrote("err", text)),
        }

    def text(self, name: str) -> str:
        return self._kept[name].decode(errors="replace")

    def to_the_end(
        self, ends_at: Callable[[], float | None], stopping: Callable[[], bool]
    ) -> str | None:
        """Follow the command to its end; why it was stopped, if it was."""
        process = self._process
        stopped, kill_at = None, None
        end = end_watch(process.pid)
        with selectors.DefaultSelector() as selector:
            self._register(selector, end)
            try:
                while process.poll() is None:
                    now = time.monotonic()
                    limit = ends_at()
                    if stopped is None:
                        stopped, grace_s = _reason(now, limit, stopping)
                        if stopped is not None:
                            signal_group(process.pid, signal.SIGTERM)
                            kill_at = now + grace_s
                    elif kill_at is not None and now >= kill_at:
                        signal_group(process.pid, signal.SIGKILL)
                        kill_at = None
                    moments = [m for m in (limit, kill_at) if m is not None and m > now]
                    self._read(selector, min([_LOOK_S, *(m - now for m in moments)]))
            finally:
                if end is not None:
                    os.close(end)
            if stopped is not None:
                signal_group(process.pid, signal.SIGKILL)  # what the command left behind
            self._drain()
        return stopped

    def _register(self, selector: selectors.BaseSelector, end: int | None) -> None:
        for name, pipe in (("out", self._process.stdout), ("err", self._process.stderr)):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ, name)
        if end is not None:
            selector.register(end, selectors.EVENT_READ, None)

    def _read(self, selector: selectors.BaseSelector, timeout_s: float) -> None:
        for item, _ in selector.select(timeout_s):
            if item.data is not None and not self._take(item.data, item.fd):
                selector.unregister(item.fileobj)

    def _take(self, name: str, fd: int) -> bool:
        """Read once; whether there may be more some time."""
        data = os.read(fd, _READ_BYTES)
        kept = self._kept[name]
        kept += data
        del kept[:-_KEPT_BYTES]
        self._lines[name].feed(data)
        return bool(data)

    def _drain(self) -> None:
        """Take what is in the pipes. What still holds them open is not waited for."""
        for name, pipe in (("out", self._process.stdout), ("err", self._process.stderr)):
            assert pipe is not None
            try:
                for _ in range(_KEPT_BYTES // _READ_BYTES):
                    if not self._take(name, pipe.fileno()):
                        break
            except BlockingIOError:
                pass
            self._lines[name].finish()


def _reason(
    now: float, limit: float | None, stopping: Callable[[], bool]
) -> tuple[str | None, float]:
    """Why a command is to stop now, if it is, and how long it is given."""
    if limit is not None and now >= limit:
        return "its time was over", LATE_GRACE_S
    return ("the run is being stopped" if stopping() else None), GRACE_S


def _checked(argv: Sequence[str]) -> Sequence[str]:
    if isinstance(argv, str):
        raise TypeError(
            f"a command is a list of its words, not one text: write {argv.split()!r}"
            " (no shell reads it)"
        )
    return [os.fspath(word) for word in argv]


def _found(program: str, cwd: str | None, env: Mapping[str, str] | None) -> str:
    path = (env or {}).get("PATH", os.environ.get("PATH", os.defpath))
    place = os.path.join(cwd or "", program) if "/" in program else program
    found = shutil.which(place, path=path)
    if found is None:
        raise FileNotFoundError(f"there is no program {program!r} that can be run (PATH is {path})")
    return os.path.abspath(found) if "/" in program else found


def _why(completed: Completed) -> str:
    last = (completed.stderr.strip() or completed.stdout.strip()).splitlines()[-1:]
    how = how_ended(completed.returncode)
    return f"{_shown(completed.argv)} {how}" + (f": {last[0][:300]}" if last else "")


def _shown(argv: Sequence[str]) -> str:
    text = " ".join(argv)
    return text if len(text) <= 120 else text[:117] + "..."
