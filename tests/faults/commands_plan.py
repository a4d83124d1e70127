"""Jobs that start commands and then wait for them; each says when its command is under way."""

import os
from pathlib import Path

from headway import Job
from tests.faults.effects_plan import note

SLEEPS_S = "600"


def lives(pid: str) -> bool:
    """Whether a process is there and not only its remains."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


class Commands(Job):
    """Its Check notes what of its last command is alive, and passes once there was one."""

    script = ""

    def Check(self, place: str) -> None:
        file = Path(place, "pid")
        if file.exists():
            note(place, "left" if lives(file.read_text().strip()) else "gone")
        assert file.exists()

    def Run(self, place: str) -> None:
        self.run(["sh", "-c", self.script], cwd=place)


# The file "pid" is there from one moment to the next, with all its text.
_TELL = "echo {pid} >pid.new; mv pid.new pid"


class Plain(Commands):
    """The command itself."""

    script = f"{_TELL.format(pid='$$')}; exec sleep {SLEEPS_S}"


class Grandchild(Commands):
    """What the command started in its group, which the kernel does not end with us."""

    script = f"sleep {SLEEPS_S} & {_TELL.format(pid='$!')}; wait"


class Defiant(Commands):
    """A command that does not want to die with its parent."""

    script = (
        f"{_TELL.format(pid='$$')};"
        f" exec setpriv --pdeathsig clear sh -c 'trap : TERM; touch ready; sleep {SLEEPS_S}'"
    )


class Escaped(Commands):
    """A command that left its session."""

    script = f"setsid sh -c '{_TELL.format(pid='$$')}; exec sleep {SLEEPS_S}' & wait"


class Unknown(Commands):
    """A command that left its session and cleaned its environment."""

    script = f"setsid env -i sh -c '{_TELL.format(pid='$$')}; exec sleep {SLEEPS_S}' & wait"


class Tidied(Commands):
    """A command of a Cleanup."""

    def Check(self, place: str) -> None:
        self.storage["place"] = place
        assert Path(place, "done").exists()

    def Run(self, place: str) -> None:
        Path(place, "done").touch()

    def Cleanup(self) -> None:
        file = Path(self.storage["place"], "pid")
        if not file.exists():
            script = f"sleep {SLEEPS_S} & {_TELL.format(pid='$!')}; wait"
            self.run(["sh", "-c", script], cwd=self.storage["place"])
        note(self.storage["place"], "left" if lives(file.read_text().strip()) else "gone")


class Serves(Job):
    """Starts what is to outlive the run, and then waits to be killed."""

    def Check(self, place: str) -> None:
        assert Path(place, "pid").exists()

    def Run(self, place: str) -> None:
        pid = self.start(["sleep", SLEEPS_S])
        Path(place, "pid.new").write_text(str(pid))
        os.rename(f"{place}/pid.new", f"{place}/pid")
        self.run(["sleep", SLEEPS_S])
