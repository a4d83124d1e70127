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

from headway.jobs.job import Completed

GRACE_S = 5.0  # between TERM and KILL
_KEPT_BYTES = 1 << 20
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
    stop_at: Callable[[], float | None],
) -> Completed:
    """Run a command to its end.

    ``wrote`` is given ("out" or "err", line) as lines come, ``started`` the process id.
    ``stop_at`` says when to stop (monotonic; None: not yet known); it is asked again and again.
    Raises: CommandFailed, FileNotFoundError.
    """
    argv = _checked(argv)
    prefix = [_setpriv(), "--pdeathsig", "KILL", "--"] if _setpriv() else []
    with tempfile.TemporaryFile() as stdin:
        if input is not None:
            stdin.write(input.encode())
            stdin.seek(0)
        process = subprocess.Popen(
            [*prefix, _found(argv[0], cwd, env), *argv[1:]],  # type: ignore[list-item]
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=None if env is None else {**os.environ, **env},
            process_group=0,
        )
    try:
        started(process.pid)
        kept, stopped = _read(process, wrote, stop_at)
    except BaseException:
        end_group(process.pid, process)
        raise
    finally:
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
    completed = Completed(tuple(argv), process.returncode, kept["out"], kept["err"])
    if stopped:
        raise CommandFailed(completed, f"{_shown(argv)} was stopped: its time was over")
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
            env=None if env is None else {**os.environ, **env},
            start_new_session=True,
        )
    finally:
        os.close(target)
    # Nobody waits for it: it is not ours any more. Popen would warn when it is forgotten.
    process.returncode = 0
    return process.pid


def end_group(pid: int, process: "subprocess.Popen[bytes] | None" = None) -> None:
    """End a process group: TERM, then KILL for what is left after the grace."""
    _signal_group(pid, signal.SIGTERM)
    give_up_at = time.monotonic() + GRACE_S
    while time.monotonic() < give_up_at:
        if process is not None:
            try:
                process.wait(_LOOK_S)
            except subprocess.TimeoutExpired:
                continue
            break
        if not _group_lives(pid):
            return
        time.sleep(_LOOK_S)
    _signal_group(pid, signal.SIGKILL)
    if process is not None:
        process.wait()


def _read(
    process: "subprocess.Popen[bytes]",
    wrote: Callable[[str, str], None],
    stop_at: Callable[[], float | None],
) -> tuple[dict[str, str], bool]:
    """Read both pipes until the command is over or its time is."""
    kept = {"out": bytearray(), "err": bytearray()}
    rest = {"out": b"", "err": b""}
    with selectors.DefaultSelector() as selector:
        for name, pipe in (("out", process.stdout), ("err", process.stderr)):
            assert pipe is not None
            selector.register(pipe, selectors.EVENT_READ, name)
        while selector.get_map():
            limit = stop_at()
            if limit is not None and time.monotonic() >= limit:
                end_group(process.pid, process)
                return _texts(kept), True
            ready = selector.select(_LOOK_S)
            for item, _ in ready:
                name = item.data
                data = os.read(item.fd, 65536)
                if not data:
                    selector.unregister(item.fileobj)
                    data = b"\n" if rest[name] else b""
                else:
                    kept[name] += data
                    del kept[name][:-_KEPT_BYTES]
                *lines, rest[name] = (rest[name] + data).split(b"\n")
                for line in lines:
                    wrote(name, line.decode(errors="replace"))
            if not ready and process.poll() is not None:
                break  # it is over; what holds its pipes open is not waited for
        while process.poll() is None:
            limit = stop_at()
            if limit is not None and time.monotonic() >= limit:
                end_group(process.pid, process)
                return _texts(kept), True
            try:
                process.wait(_LOOK_S)
            except subprocess.TimeoutExpired:
                continue
    return _texts(kept), False


def _texts(kept: Mapping[str, bytearray]) -> dict[str, str]:
    return {name: bytes(data).decode(errors="replace") for name, data in kept.items()}


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
    code = completed.returncode
    how = f"ended with code {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"
    last = (completed.stderr.strip() or completed.stdout.strip()).splitlines()[-1:]
    return f"{_shown(completed.argv)} {how}" + (f": {last[0][:300]}" if last else "")


def _shown(argv: Sequence[str]) -> str:
    text = " ".join(argv)
    return text if len(text) <= 120 else text[:117] + "..."


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def _group_lives(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
