"""Lets a person change a text in an editor of their own. What was written is never lost."""

import os
import shlex
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from headway.doors.cli.exits import Mistyped
from headway.errors import Rejected


class Draft:
    """A text in a file of its own, which stays until ``discard``."""

    def __init__(self, body: bytes, name: str) -> None:
        """Raises: Mistyped when nobody said which editor."""
        self._command = _command()
        self.file = Path(tempfile.mkdtemp(prefix="headway-")) / name
        self.file.write_bytes(body)
        self._first = body

    @property
    def is_changed(self) -> bool:
        return self.body != self._first

    @property
    def body(self) -> bytes:
        try:
            return self.file.read_bytes()
        except FileNotFoundError:
            return self._first  # an editor that took it away

    def edit(self) -> None:
        """Raises: Rejected when the editor did not end well."""
        try:
            editor = subprocess.Popen([*self._command, str(self.file)])
        except OSError as error:
            self.discard()
            raise Mistyped(
                f"the editor {self._command[0]} cannot be started: {error.strerror}. $VISUAL or"
                " $EDITOR names it"
            ) from error
        # Ctrl-C is the editor's own affair while it has the terminal.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            code = editor.wait()
        finally:
            signal.signal(signal.SIGINT, before)
        if code:
            raise Rejected(f"{self._command[0]} ended with {code}: nothing was stored")

    def discard(self) -> None:
        with suppress(OSError):
            self.file.unlink(missing_ok=True)
            self.file.parent.rmdir()


def _command() -> list[str]:
    said = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    try:
        command = shlex.split(said)
    except ValueError as error:
        raise Mistyped(f"$VISUAL or $EDITOR is {said!r}, which is no command: {error}") from error
    if not command:
        raise Mistyped("name a FILE, or say in $VISUAL or $EDITOR which editor is yours")
    return command
