"""Where the output of runs is kept: a file for each run, or the store's output."""

import errno
import os
import re
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

from headway.errors import DefinitionError, Rejected, Unavailable
from headway.ports.store import NO_JOB, Line, Store
from headway.runtime import clocks

OPEN_FILES = 64
RUN_BYTES = 100_000_000  # of one run's file
RUNS_COUNTED = 10_000  # that lost lines and have not been told so
_RUN_ID = re.compile(r"[0-9a-f]{24}")


def is_run_id(text: object) -> bool:
    """24 lower-case hex digits: nothing else becomes the name of a file."""
    return isinstance(text, str) and _RUN_ID.fullmatch(text) is not None


class RunIsFull(Rejected):
    """Of one run, no more is kept."""


class Keeper(Protocol):
    """Keeps lines of a run."""

    def keep(self, run: str, level: str, lines: Sequence[str]) -> None:
        """Raises: Unavailable, Rejected."""

    def close(self) -> None: ...


class OutputFiles:
    """``DIRECTORY/RUN.log`` for each run, with a bounded number of them open. Thread-safe.

    A file is opened relative to the directory that was opened at the start, never through a
    link, for its owner alone.
    """

    def __init__(self, directory: str, *, run_bytes: int = RUN_BYTES) -> None:
        """Raises: DefinitionError."""
        try:
            self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise DefinitionError(
                f"the configuration's 'output_dir' {directory!r} cannot be opened:"
                f" {error.strerror}; make the directory first"
            ) from error
        if not os.access(directory, os.W_OK | os.X_OK):
            os.close(self._directory)
            raise DefinitionError(
                f"the configuration's 'output_dir' {directory!r} may not be written to by this user"
            )
        self._place = directory
        self._run_bytes = run_bytes
        self._lock = threading.Lock()
        self._open: OrderedDict[str, int] = OrderedDict()  # the least recently used first

    @property
    def open_files(self) -> int:
        return len(self._open)

    def keep(self, run: str, level: str, lines: Sequence[str]) -> None:
        data = "".join(f"{line}\n" for line in lines).encode()
        with self._lock:
            try:
                file = self._file(run)
                size = os.fstat(file).st_size
                if size + len(data) > self._run_bytes:
                    raise RunIsFull(f"{run}.log has reached its limit of {self._run_bytes} bytes")
                _write(file, data)
            except OSError as error:
                raise Unavailable(
                    f"{run}.log in {self._place} cannot be written: {error.strerror}"
                ) from error

    def close(self) -> None:
        with self._lock:
            while self._open:
                os.close(self._open.popitem()[1])
            if self._directory >= 0:
                os.close(self._directory)
                self._directory = -1

    def _file(self, run: str) -> int:
        file = self._open.get(run)
        if file is not None:
            if os.fstat(file).st_nlink:
                self._open.move_to_end(run)
                return file
            os.close(self._open.pop(run))  # somebody removed it: lines would go nowhere
        while len(self._open) >= OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])
        flags = (
            os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
        file = os.open(f"{run}.log", flags, 0o600, dir_fd=self._directory)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError(errno.EINVAL, "it is no regular file")
        self._open[run] = file
        return file


def _write(file: int, data: bytes) -> None:
    """All of it, or as if nothing had been written."""
    size = os.fstat(file).st_size
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError:
        os.ftruncate(file, size)
        raise


class OutputRows:
    """The store's output table; lines are the run's, of no job that is known."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(self, run: str, level: str, lines: Sequence[str]) -> None:
        at_us = clocks.now_us()
        self._store.add_output(run, [Line(NO_JOB, 0, at_us, level, text) for text in lines])

    def close(self) -> None:
        self._store.close()


class Counted:
    """A keeper that takes everything: what cannot be kept is counted, and told where lines go on.

    The steps whose lines they are go on meanwhile. Thread-safe.
    """

    def __init__(self, keeper: Keeper, name: str, complain: Callable[[str], object]) -> None:
        self._keeper = keeper
        self._name = name
        self._complain = complain
        self._lock = threading.Lock()
        self._lost: OrderedDict[str, int] = OrderedDict()
        self._failing = False
        self.lost = 0  # lines, in all

    def keep(self, run: str, level: str, lines: Sequence[str]) -> None:
        with self._lock:
            gap = self._lost.get(run, 0)
            told = [f"(lines not kept here: {gap})", *lines] if gap else lines
            try:
                self._keeper.keep(run, level, told)
            except (Rejected, Unavailable) as error:
                self._count(run, gap + len(lines))
                self.lost += len(lines)
                if isinstance(error, RunIsFull) and not gap:
                    self._complain(str(error))
                if isinstance(error, Unavailable) and not self._failing:
                    self._failing = True
                    self._complain(f"output is not kept: {error}")
                return
            self._lost.pop(run, None)
            if self._failing:
                self._failing = False
                self._complain(f"output is kept again in {self._name}; {self.lost} lines were lost")

    def close(self) -> None:
        self._keeper.close()

    def _count(self, run: str, lost: int) -> None:
        self._lost[run] = lost
        self._lost.move_to_end(run)
        while len(self._lost) > RUNS_COUNTED:
            self._lost.popitem(last=False)
