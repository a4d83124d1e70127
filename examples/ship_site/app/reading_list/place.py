"""Only one process serves at a time: the one that holds the lock on a file.

The file says which process that is. A process id alone would not do: it may be left from a
process that was killed, and may have been given to another since. The system drops the lock
when its holder dies, however it dies.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

LOOKED_AT_S = 0.5  # one who only looks whether it is locked holds the lock for an instant


class Taken(Exception):
    """Another process serves here."""


@contextmanager
def taken(file: Path, **about: object) -> Iterator[None]:
    """Hold the place, and say in FILE who holds it. Raises: Taken."""
    with file.open("a+") as opened:
        _lock(opened)
        opened.truncate(0)
        opened.write(json.dumps({"pid": os.getpid(), **about}) + "\n")
        opened.flush()
        yield


def _lock(opened: IO[str]) -> None:
    give_up_at = time.monotonic() + LOOKED_AT_S
    while True:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up_at:
                raise Taken(f"another process serves already, says {opened.name}") from None
            time.sleep(0.02)
        else:
            return
