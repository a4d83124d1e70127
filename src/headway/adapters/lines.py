"""Cuts what a process writes into lines."""

from collections.abc import Callable

LONGEST_LINE = 16_384  # characters; the rest of a longer line is cut off
CUT = " … (cut)"  # and this put in its place
_LONGEST_BYTES = 4 * (LONGEST_LINE + 1)  # characters at the least: more than the longest line has


def shortened(line: str) -> str:
    """A line that is no longer than lines may be."""
    return line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + CUT


class Lines:
    """Tells the lines of one stream of bytes as they become whole; holds one line at most."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._rest = bytearray()

    def feed(self, data: bytes) -> None:
        *whole, rest = data.split(b"\n")
        for line in whole:
            if self._rest:
                self._keep(line)
                line = bytes(self._rest)
                self._rest.clear()
            self._tell(_text(line))
        self._keep(rest)

    def finish(self) -> None:
        """The stream is over: its last line need not have an end."""
        if self._rest:
            self.feed(b"\n")

    def _keep(self, data: bytes) -> None:
        self._rest += data[: max(0, _LONGEST_BYTES - len(self._rest))]


def _text(line: bytes) -> str:
    return shortened(line[:_LONGEST_BYTES].removesuffix(b"\r").decode(errors="replace"))
