"""Jobs that go wrong as only processes can. What they do outside they do in ``place``."""

import os
import signal
from pathlib import Path
from typing import Any

from headway import Job, RunonlyJob
from headway.testing.sample_jobs import LONGEST_S, note, wait_for


class KilledOnce(Job):
    """At its first try, waits in the phase it is told to for somebody to end its process."""

    TRIES = 2
    RETRY_DELAY = 0

    def Check(self, place: str, phase: str) -> str:
        self._wait(place, phase, self._check_phase)
        return Path(place, "made").read_text()

    def Run(self, place: str, phase: str) -> None:
        self._wait(place, phase, "run")
        Path(place, "made").write_text("made")

    def _wait(self, place: str, phase: str, now: str) -> None:
        pid = Path(place, "pid")
        if now == phase and not pid.exists():
            Path(place, "pid.new").write_text(str(os.getpid()))
            Path(place, "pid.new").rename(pid)
            wait_for(Path(place, "never"))


class Deaf(RunonlyJob):
    """Hears no TERM, and neither does the daemon that it leaves in its group."""

    TRIES = 1
    TIMEOUT = 0.4

    def Run(self, place: str) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pid = os.fork()
        note(place, f"{os.getpid()}")
        wait_for(Path(place, "never"))
        os._exit(pid)


class DeafCommand(RunonlyJob):
    """Its command hears no TERM, and neither does what the command starts."""

    TRIES = 1
    TIMEOUT = 0.4

    def Run(self, place: str) -> None:
        script = "trap '' TERM; sleep 1000 & echo $$ >>notes; echo $! >>notes; wait; wait"
        self.run(["sh", "-c", script], cwd=place)


class DiesCommanding(RunonlyJob):
    """Its process dies while its command, and what that started, go on.

    The command waits for the file ``known``: nobody can end what nobody was told of yet.
    """

    TRIES = 1

    def Run(self, place: str) -> None:
        known = "while [ ! -e known ]; do sleep 0.01; done"
        script = f"sleep 1000 & echo $! >>notes; {known}; kill -9 {os.getpid()}; wait"
        self.run(["sh", "-c", script], cwd=place)


class Daemon(Job):
    """Leaves a daemon behind, in its own group, that writes to the job's output."""

    def Check(self, place: str) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                print("the daemon is here", flush=True)
                Path(place, "here").touch()
                wait_for(Path(place, "go"))
            finally:
                os._exit(0)
        wait_for(Path(place, "here"))
        return pid


class Works(Job):
    """Waits for a command that does not end, beside others that do the same."""

    def Check(self, place: str) -> None:
        raise AssertionError

    def Run(self, place: str) -> None:
        note(place, f"{os.getpid()}")
        self.run(["sh", "-c", f"echo $$ >>notes; exec sleep {LONGEST_S * 10:g}"], cwd=place)


class Asked(RunonlyJob):
    """Ends well when it is asked to."""

    def Run(self, place: str) -> None:
        note(place, f"{os.getpid()}")
        while not self.stopping:
            signal.sigtimedwait([], 0.005)
        note(place, "ended well")


class Answers(Job):
    def Check(self, place: str) -> Any:
        print("printed")
        return os.getpid()
