"""A terminal: a pseudo-terminal with a command on it, and what its screen shows."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from types import TracebackType

from tests.doors.typed import DEADLINE_S, HEADWAY, Place

_STEP = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b\[[\d;?]*[A-Za-z]|\x1b(.)|([\r\n])|([^\x1b\r\n]+)")


class Screen:
    """Enough of a terminal's screen to see what a reader would see: no colours."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns = columns
        self.rows = rows
        self.lines = [""] * rows
        self.scrolled: list[str] = []
        self.row = self.column = 0
        self._saved = (0, 0)

    def show(self, text: str) -> None:
        for match in _STEP.finditer(text):
            count, letter, escape, end, plain = match.groups()
            if plain:
                self._write(plain)
            elif end == "\r":
                self.column = 0
            elif end == "\n" or escape == "D":
                self._down()
            elif escape == "7":
                self._saved = self.row, self.column
            elif escape == "8":
                self.row, self.column = self._saved
            elif letter:
                self._moved(letter, int(count or 1), count)

    def _moved(self, letter: str, count: int, given: str) -> None:
        if letter == "A":
            self.row = max(0, self.row - count)
        elif letter == "B":
            self.row = min(self.rows - 1, self.row + count)
        elif letter == "K":
            self.lines[self.row] = self.lines[self.row][: self.column]
        elif letter == "J" and not given:
            self.lines[self.row] = self.lines[self.row][: self.column]
            self.lines[self.row + 1 :] = [""] * (self.rows - self.row - 1)

    def _write(self, text: str) -> None:
        for character in text:
            if self.column == self.columns:
                self.column = 0
                self._down()
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1

    def _down(self) -> None:
        if self.row == self.rows - 1:
            self.scrolled.append(self.lines.pop(0))
            self.lines.append("")
        else:
            self.row += 1

    @property
    def text(self) -> str:
        """All that was shown and is still to be seen, also by scrolling back."""
        return "\n".join(line.rstrip() for line in [*self.scrolled, *self.lines]).rstrip()


class Terminal:
    """A command typed at a terminal."""

    def __init__(self, place: Place, *words: str, columns: int = 80, rows: int = 24) -> None:
        self.screen = Screen(columns, rows)
        self.raw = ""
        self._main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            [HEADWAY, *words],
            cwd=place.directory,
            env={"TERM": "xterm-256color", **place.environment},
            stdin=side,
            stdout=side,
            stderr=side,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(side)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._main)

    def type(self, keys: str) -> None:
        os.write(self._main, keys.encode())

    def until(self, seen: Callable[[Screen], bool]) -> Screen:
        """Look at the screen until it shows something."""
        give_up_at = time.monotonic() + DEADLINE_S
        while not seen(self.screen):
            assert time.monotonic() < give_up_at, f"it never came, but:\n{self.screen.text}"
            if not self._read():
                assert seen(self.screen), f"it ended before, with:\n{self.screen.text}"
        return self.screen

    def ended(self) -> int:
        """The exit code, once all is shown."""
        while self._read():
            pass
        return self.process.wait(DEADLINE_S)

    def _read(self) -> bool:
        """Take in what comes; whether more may come."""
        if not select.select([self._main], [], [], DEADLINE_S)[0]:
            return False
        try:
            data = os.read(self._main, 65536)
        except OSError:  # what a pseudo-terminal says when its other side is closed
            return False
        text = data.decode(errors="replace")
        self.raw += text
        self.screen.show(text)
        return bool(data)
