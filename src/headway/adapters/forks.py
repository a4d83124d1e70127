"""Starts a process by fork and settles it in: group, signals, standard streams, death.

The child shares nothing with its parent but a channel and two pipes. It leaves by ``os._exit``,
so nothing that the parent registered for its own end is ever run in it.
"""

import contextlib
import ctypes
import gc
import os
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import TextIOWrapper
from typing import Any, NamedTuple, NoReturn

from headway.adapters.groups import end_watch
from headway.adapters.tools import Stop

_PR_SET_PDEATHSIG = 1

Body = Callable[[socket.socket, Stop], None]


class Fork(NamedTuple):
    """A child process and the parent's ends of all that leads to it."""

    pid: int  # also its process group
    channel: socket.socket
    out: int
    err: int
    end: int | None  # readable once it has ended; None where the system has no such thing

    def close(self) -> None:
        self.channel.close()
        for fd in self.descriptors()[1:]:
            os.close(fd)

    def descriptors(self) -> list[int]:
        fds = (self.channel.fileno(), self.out, self.err, self.end)
        return [fd for fd in fds if fd is not None]


def fill_standard_descriptors() -> None:
    """Make sure that 0, 1 and 2 are open, so that no pipe of ours is given one of them."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)


def load_libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def fork(body: Body, libc: ctypes.CDLL, *, close: Iterable[int] = ()) -> Fork:
    """Start a child that calls ``body`` with its end of the channel and what SIGTERM sets.

    ``close``: descriptors of the parent's that the child must not hold open.
    Raises: OSError when there is no room for another process or descriptor.
    """
    pid = -1
    with contextlib.ExitStack() as if_it_fails, contextlib.ExitStack() as in_any_case:
        if_it_fails.callback(lambda: _discard(pid))
        channel, theirs = socket.socketpair()
        if_it_fails.callback(channel.close)
        in_any_case.callback(theirs.close)
        ends: list[int] = []
        outward: list[int] = []
        for _ in range(2):
            end, other = os.pipe()
            ends.append(end)
            outward.append(other)
            if_it_fails.callback(os.close, end)
            in_any_case.callback(os.close, other)
        parent, handled = os.getpid(), _handled_signals()
        not_theirs = [*close, channel.fileno(), *ends]
        _flush(_streams())
        with _blocked(handled):
            pid = _forked()
            if pid == 0:
                try:
                    _live(body, libc, parent, theirs, outward, not_theirs, handled)
                finally:
                    os._exit(1)
        if_it_fails.pop_all()
    channel.setblocking(False)
    for end in ends:
        os.set_blocking(end, False)
    out, err = ends
    return Fork(pid, channel, out, err, end_watch(pid))


def _discard(pid: int) -> None:
    """End a child that nobody came to know of."""
    if pid > 0:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _forked() -> int:
    with warnings.catch_warnings():
        # Python warns where the parent has other threads. The child touches none of their locks:
        # its streams are its own, and logging and import have theirs made new.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _handled_signals() -> list[signal.Signals]:
    """Those that Python code handles in the parent, and TERM, which it handles in the child."""
    return [
        number
        for number in signal.Signals
        if number == signal.SIGTERM or callable(signal.getsignal(number))
    ]


@contextlib.contextmanager
def _blocked(signals: Iterable[signal.Signals]) -> Iterator[None]:
    """None is handled between the fork and the moment the child has handlers of its own."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _live(
    body: Body,
    libc: ctypes.CDLL,
    parent: int,
    channel: socket.socket,
    outward: Sequence[int],
    close: Iterable[int],
    handled: Iterable[signal.Signals],
) -> NoReturn:
    """All that the child ever does."""
    code = 1
    inherited = _streams()
    try:
        gc.freeze()  # what the parent left for the collector is not the child's to finalize
        stop = Stop()
        # A session of its own is a group of its own, and no terminal can stop or signal it.
        os.setsid()
        _die_with(parent, libc)
        for fd in close:
            os.close(fd)
        _take_streams(outward)
        _take_signals(handled, stop)
        # A process that a job forks must not hold the channel, or speak on it.
        os.register_at_fork(after_in_child=channel.close)
        body(channel, stop)
        code = 0
    except BaseException:
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        try:
            _flush([*_streams(), *inherited])
            libc.fflush(None)
        finally:
            os._exit(code)


def _die_with(parent: int, libc: ctypes.CDLL) -> None:
    if sys.platform == "linux":
        libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() != parent:  # it died before the kernel was told
        os._exit(1)


def _take_streams(outward: Sequence[int]) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (outward[0], 1), (outward[1], 2)):
        os.dup2(source, target)
        os.close(source)
    # New objects: the old ones may be of the parent's making, or hold what it has not written.
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _writer(1)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _writer(2)  # type: ignore[misc]


def _writer(fd: int) -> TextIOWrapper:
    """What the parent reads is UTF-8, line by line."""
    binary = os.fdopen(fd, "wb", closefd=False)
    return TextIOWrapper(binary, "utf-8", "backslashreplace", line_buffering=True)


def _take_signals(handled: Iterable[signal.Signals], stop: Stop) -> None:
    """The handlers that a program starts with, but for TERM, which asks the try to end."""
    signal.set_wakeup_fd(-1)
    for number in handled:
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, usual)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _streams() -> list[Any]:
    return [sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__]


def _flush(streams: Iterable[Any]) -> None:
    for stream in streams:
        with contextlib.suppress(Exception):
            stream.flush()
