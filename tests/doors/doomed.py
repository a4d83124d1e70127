"""The command headway, killed by SIGKILL at a chosen moment. A program for tests.

    python tests/doors/doomed.py PLACE DOOM headway-arguments...

Moments are what the process does to the world: files it changes below PLACE, processes it starts
or signals, what it commits to its journal. Each is known by a text, and meant is the first of
that text. ``DOOM`` is a moment's text: the process dies right before. With " +0.02" behind, it
dies so many seconds later instead. ``DOOM`` "record FILE" lets it live and write the moments
to FILE, one a line.
"""

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

CHANGES = frozenset(
    "os.rename os.remove os.rmdir os.mkdir os.symlink os.kill shutil.copyfile sqlite3.connect"
    " subprocess.Popen".split()
)


def moment_of(place: str, event: str, args: Sequence[Any]) -> str | None:
    """The text of an audit event of Python; None if it changes nothing of interest."""
    if event == "open":
        path, _, flags = args
        below = isinstance(path, str) and path.startswith(place)
        # Who serves is looked at right before and after the site is stopped and started.
        if below and (flags & (os.O_WRONLY | os.O_RDWR) or path.endswith("serving.json")):
            return f"open {os.path.relpath(path, place)}"
        return None
    if event not in CHANGES:
        return None
    if event == "os.kill":
        return event
    if event == "subprocess.Popen":
        words = [os.path.basename(str(word)) for word in args[1]]
        if words[0] == "setpriv":  # a wrapper, where the machine has it
            words = words[words.index("--") + 1 :]
        return f"start {' '.join(words)}"
    names = [
        os.path.relpath(arg, place) if arg.startswith("/") else arg
        for arg in map(_text, args)
        if arg.startswith(place) or (arg and not arg.startswith("/"))
    ]
    return f"{event} {' '.join(names)}" if names else None


def _text(arg: object) -> str:
    return os.fspath(arg) if isinstance(arg, (str, os.PathLike)) else ""


class Fate:
    """Counts the moments, and ends the process at its own."""

    def __init__(self, doom: str) -> None:
        self.seen: set[str] = set()
        self.record = doom.removeprefix("record ") if doom.startswith("record ") else None
        found = re.fullmatch(r"(.*?)(?: \+([\d.]+))?", doom)
        assert found is not None
        self.doom, self.later_s = found[1], float(found[2] or 0)

    def meets(self, moment: str) -> None:
        if moment in self.seen:
            return
        self.seen.add(moment)
        if self.record:
            with open(self.record, "a") as file:
                file.write(f"{moment}\n")
        elif moment == self.doom and self.later_s:
            threading.Timer(self.later_s, _die).start()
        elif moment == self.doom:
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def watch_files(fate: Fate, place: str) -> None:
    watching = threading.local()

    def heard(event: str, args: Any) -> None:
        if getattr(watching, "busy", False):
            return
        watching.busy = True
        try:
            moment = moment_of(place, event, args)
            if moment is not None:
                fate.meets(moment)
        finally:
            watching.busy = False

    sys.addaudithook(heard)


def watch_commits(fate: Fate) -> None:
    from headway.adapters.sql_store import SqlStore

    def told(name: str) -> Callable[..., Any]:
        commit = getattr(SqlStore, name)

        def committing(self: Any, *args: Any, **kwargs: Any) -> Any:
            rows = args[4] if name == "append" else ()
            text = ", ".join(f"{row.kind} {row.key}.{row.number}" for row in rows) or name
            fate.meets(f"before commit: {text}")
            result = commit(self, *args, **kwargs)
            fate.meets(f"after commit: {text}")
            return result

        return committing

    for name in ("begin", "take", "append"):
        setattr(SqlStore, name, told(name))


def main() -> None:
    place, doom, *arguments = sys.argv[1:]
    sys.argv = ["headway", *arguments]
    fate = Fate(doom)
    watch_commits(fate)
    watch_files(fate, place)
    from headway.doors.cli import main as headway

    headway()


if __name__ == "__main__":
    main()
