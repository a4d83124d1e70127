"""Jobs that the contract of executors carries out, at the top of a module where any can find them.

What they do outside they do in the directory that the input ``place`` names.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

from headway.jobs.job import DummyJob, Job, RunonlyJob

LONGEST_S = 30.0  # how long anything is waited for that ought to come


def wait_for(file: Path) -> None:
    """Wait until a file is there. Raises: TimeoutError."""
    give_up_at = time.monotonic() + LONGEST_S
    never = threading.Event()
    while not file.exists():
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"{file} did not come")
        never.wait(0.005)


def note(place: str, line: str) -> None:
    """Add a line to the notes; whole, whoever else adds one."""
    with open(Path(place, "notes"), "a") as notes:
        notes.write(line + "\n")


class Passes(Job):
    def Check(self, **inputs: Any) -> Any:
        return {"answer": 42}

    def Run(self, *, place: str, **inputs: Any) -> None:
        note(place, "Passes ran")


class Fails(Job):
    TRIES = 2
    RETRY_DELAY = 0

    def Check(self, **inputs: Any) -> None:
        raise ValueError(f"still not so at the {self._check_phase}")

    def Run(self, **inputs: Any) -> str:
        return "not a result"


class Differs(Job):
    """Says what its Run would change."""

    def Check(self, **inputs: Any) -> None:
        self.storage["old"] = "red"
        raise ValueError("it is red")

    def Run(self, **inputs: Any) -> None: ...

    def Diff(self, **inputs: Any) -> str:
        return f"-{self.storage['old']}\n+green"


class Repairs(Job):
    """Makes a file, and removes another when it is cleaned up."""

    def Check(self, *, place: str, **inputs: Any) -> str:
        self.storage["checks"] = self.storage.get("checks", 0) + 1
        return Path(place, "made").read_text()

    def Run(self, *, place: str, **inputs: Any) -> None:
        note(place, f"ran, intended: {Path(place, 'intended').exists()}")
        Path(place, "made").write_text("made")
        self.storage["temporary"] = os.path.join(place, "temporary")
        Path(place, "temporary").touch()

    def Cleanup(self) -> None:
        self.output.info("cleaned up after %d checks", self.storage["checks"])
        Path(self.storage["temporary"]).unlink()


class Runs(RunonlyJob):
    def Run(self, **inputs: Any) -> int:
        return 7


class RunRaises(RunonlyJob):
    TRIES = 1

    def Run(self, **inputs: Any) -> None:
        raise LookupError("the run itself failed")


class Groups(DummyJob):
    DEPS = (Passes, Runs)


class HasNoRun(Job):
    """Comes true between its Check and its Recheck."""

    def Check(self, **inputs: Any) -> str:
        assert self._check_phase == "recheck"
        return "it came about"


class Given(Job):
    def Check(self, *args: Any, **inputs: Any) -> Any:
        return [list(args), inputs]


class Counts(Job):
    """Sets, changes in place and deletes what the run shares."""

    def Check(self, **inputs: Any) -> None:
        self.global_storage.setdefault("phases", []).append(self._check_phase)
        if self._check_phase == "check":
            self.global_storage["by"] = "check"
        assert self._check_phase == "recheck"

    def Run(self, **inputs: Any) -> None:
        assert self.global_storage["phases"] == ["check"]
        self.global_storage["phases"].append("run")
        self.global_storage["gone"] = 1

    def Cleanup(self) -> None:
        del self.global_storage["gone"]
        self.global_storage["phases"].append("cleanup")


class Reads(Job):
    DEPS = (Counts,)

    def Check(self, **inputs: Any) -> Any:
        return dict(self.global_storage)


class SharesObject(Job):
    """Puts into the shared storage what JSON cannot carry."""

    TRIES = 3

    def Check(self, *, phase: str = "", **inputs: Any) -> None:
        if phase == "check":
            self.global_storage["lock"] = threading.Lock()
        assert self._check_phase == "recheck"

    def Run(self, *, place: str, phase: str = "", **inputs: Any) -> None:
        note(place, "ran")
        if phase == "run":
            self.global_storage["lock"] = threading.Lock()


class ReturnsObject(Job):
    def Check(self, **inputs: Any) -> Any:
        return Path("/somewhere")


class RetriesOnly(Job):
    """Is only worth another try when what it met was a ConnectionError."""

    RETRY_ON = ConnectionError

    def Check(self, *, error: str = "", **inputs: Any) -> None:
        raise {"ConnectionResetError": ConnectionResetError, "KeyError": KeyError}[error]("x")

    def Run(self, **inputs: Any) -> None: ...


class Leaves(Job):
    """Exits, or raises what it is told to, in the phase it is told to."""

    def Check(self, *, phase: str = "", what: str = "", **inputs: Any) -> str:
        if self._check_phase == phase:
            raise_(what)
        assert self._check_phase == "recheck"
        return "here still"

    def Run(self, *, phase: str = "", what: str = "", **inputs: Any) -> None:
        if phase == "run":
            raise_(what)


class OddError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


def raise_(what: str) -> None:
    if what == "exit":
        sys.exit("so long")
    if what == "interrupt":
        raise KeyboardInterrupt
    if what == "odd":
        raise OddError
    raise ValueError("a lone \udcff, a NUL \0,\nand another line")


class Unmade(Job):
    TRIES = 1

    def __init__(self) -> None:
        raise SystemExit("cannot be made")

    def Check(self, **inputs: Any) -> None: ...


class Writes(Job):
    def Check(self, **inputs: Any) -> None:
        self.output.debug("debug")
        self.output.info("two lines,\nand %s", "arguments")
        self.output.warning("warning")
        self.output.error("100%")
        print("printed", "here", file=self.output)
        self.output.write("its end ")
        self.output.write("comes with the try")


class Wanders(Job):
    """Notes where each phase begins, and goes elsewhere."""

    def Check(self, *, place: str, **inputs: Any) -> None:
        self._wander(place, self._check_phase)
        assert self._check_phase == "recheck"

    def Run(self, *, place: str, **inputs: Any) -> None:
        self._wander(place, "run")

    def _wander(self, place: str, phase: str) -> None:
        note(place, f"{phase} in {os.getcwd()}")
        os.chdir("/")


class WandersInTime(Wanders):
    TIMEOUT = LONGEST_S


class Commands(RunonlyJob):
    """Runs the command it is given, and tells how that ended."""

    TRIES = 1

    def Run(self, *, argv: list[str], options: dict[str, Any], **inputs: Any) -> Any:
        completed = self.run(argv, **options)
        return [completed.returncode, completed.stdout, completed.stderr]


class CommandsInTime(Commands):
    TIMEOUT = 0.4


class Starts(RunonlyJob):
    def Run(self, *, place: str, **inputs: Any) -> int:
        return self.start(["sleep", "1000"], stdout=os.path.join(place, "sleep.log"))


class Notices(Job):
    """Goes on in one phase until it is asked to stop."""

    TIMEOUT: ClassVar[float | None] = 0.4
    TRIES = 1

    def Check(self, *, place: str, phase: str, **inputs: Any) -> None:
        self._go_on(place, phase, self._check_phase)
        assert self._check_phase == "recheck"

    def Run(self, *, place: str, phase: str, **inputs: Any) -> None:
        self.storage["file"] = os.path.join(place, "temporary")
        Path(self.storage["file"]).touch()
        self._go_on(place, phase, "run")

    def Cleanup(self) -> None:
        Path(self.storage["file"]).unlink()

    def _go_on(self, place: str, phase: str, now: str) -> None:
        note(place, now)
        if now != phase:
            return
        assert (self.deadline is None) == (self.TIMEOUT is None)
        Path(place, "waits").touch()
        give_up_at = time.monotonic() + LONGEST_S
        while not self.stopping:
            assert time.monotonic() < give_up_at
            threading.Event().wait(0.005)
        self.global_storage["noticed"] = phase
        note(place, "noticed")


class NoticesStop(Notices):
    TIMEOUT = None


class GoesOn(Job):
    """Goes on in one phase until a file comes, whatever it is asked."""

    TIMEOUT: ClassVar[float | None] = 0.4

    def Check(self, *, place: str, phase: str, **inputs: Any) -> None:
        self._go_on(place, phase, self._check_phase)
        assert self._check_phase == "recheck"

    def Run(self, *, place: str, phase: str, **inputs: Any) -> None:
        note(place, "ran")
        self._go_on(place, phase, "run")

    def _go_on(self, place: str, phase: str, now: str) -> None:
        if now == phase:
            Path(place, "pid").write_text(str(os.getpid()))
            Path(place, "waits").touch()
            wait_for(Path(place, "go"))


class GoesOnForEver(GoesOn):
    TIMEOUT = None


class CleanupIsLate(RunonlyJob):
    TIMEOUT = 0.4

    def Run(self, **inputs: Any) -> None: ...

    def Cleanup(self) -> None:
        self.run(["sleep", "1000"])


class CleanupGoesOn(RunonlyJob):
    TIMEOUT = 0.4

    def Run(self, *, place: str, **inputs: Any) -> None:
        self.storage["never"] = os.path.join(place, "never")

    def Cleanup(self) -> None:
        print("the cleanup began")
        wait_for(Path(self.storage["never"]))


class CleanupRaises(RunonlyJob):
    def Run(self, **inputs: Any) -> None: ...

    def Cleanup(self) -> None:
        raise OSError("cannot be put away")


class Prints(Job):
    """Writes in every way that goes past ``self.output``."""

    def Check(self, **inputs: Any) -> None:
        print("printed")
        print("to error", file=sys.stderr)
        os.write(1, b"by the system\n")
        ctypes.CDLL(None).printf(b"by a library in C, which keeps it until it is told to write\n")
        os.system("echo by a shell; echo and to error >&2")
        subprocess.run(["echo", "by a program"], check=True)
        sys.stdout.write("without an end")


class PrintsInTurn(Job):
    """Writes in all phases, past its output."""

    TRIES = 1

    def Check(self, **inputs: Any) -> None:
        self._write(self._check_phase)
        assert self._check_phase == "recheck"

    def Run(self, **inputs: Any) -> None:
        self._write("run")

    def _write(self, phase: str) -> None:
        print(phase, "printed")
        print(phase, "to error", file=sys.stderr)


class Floods(Job):
    """Writes more than any pipe holds, to all there is, at the same time."""

    def Check(self, **inputs: Any) -> str:
        def flood(fd: int) -> None:
            for _ in range(40):
                os.write(fd, b"\x00\xff\xfe garbage \x80" * 5000 + b"\n")

        threads = [threading.Thread(target=flood, args=(fd,)) for fd in (1, 2)]
        for thread in threads:
            thread.start()
        for count in range(2000):
            self.output.info("line %d", count)
        for thread in threads:
            thread.join()
        return "x" * 1_000_000


class Forks(Job):
    """Leaves a process behind that holds all that it was given."""

    def Check(self, *, place: str, **inputs: Any) -> str:
        if os.fork() == 0:
            try:
                # Out of reach of what ends the try's own group.
                os.setsid()
                Path(place, "pid").write_text(str(os.getpid()))
                Path(place, "forked").touch()
                wait_for(Path(place, "go"))
            finally:
                os._exit(0)
        wait_for(Path(place, "forked"))
        return "forked"


class FallsThrough(Job):
    """Forks, and both of them go on."""

    def Check(self, **inputs: Any) -> str:
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
        return "one answer"


class Dies(Job):
    """Is ended by a signal in the phase it is told to."""

    TRIES = 2

    def Check(self, *, phase: str, **inputs: Any) -> None:
        if phase == self._check_phase:
            os.kill(os.getpid(), signal.SIGKILL)
        assert self._check_phase == "recheck"

    def Run(self, *, phase: str, **inputs: Any) -> None:
        if phase == "run":
            os.kill(os.getpid(), signal.SIGKILL)
        self.storage["kept"] = True

    def Cleanup(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class DiesAsking(RunonlyJob):
    def Run(self, **inputs: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class DiesToRerun(DiesAsking):
    ON_LOST = "rerun"


class DiesToFail(DiesAsking):
    ON_LOST = "fail"


class TellsProcess(Job):
    def Check(self, **inputs: Any) -> int:
        return os.getpid()
