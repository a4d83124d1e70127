"""A plan whose jobs have effects outside: files in the directory ``place``.

Each phase that is entered appends its name to ``place/effects``, so that what was done, and in
which order, can be read whatever became of the process that did it.
"""

import os
from pathlib import Path
from typing import Any

from headway import DummyJob, Job, RunonlyJob

PATIENCE_S = 0.001  # between tries


def note(place: str, what: str) -> None:
    """Append a line in one write: lines of processes that work side by side stay whole."""
    effects = os.open(f"{place}/effects", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(effects, f"{what}\n".encode())
    finally:
        os.close(effects)


class Noting(Job):
    """Notes every phase. ``place`` reaches Cleanup by way of the storage."""

    RETRY_DELAY = PATIENCE_S

    def noted(self, place: str, phase: str) -> Path:
        note(place, f"{phase} {type(self).__name__}")
        self.storage["place"] = place
        return Path(place)

    def Check(self, place: str) -> Any:
        return self.check(self.noted(place, "check"))

    def check(self, place: Path) -> Any:
        raise NotImplementedError


class Place(Noting):
    """Has a Check and nothing else."""

    def check(self, place: Path) -> None:
        assert place.is_dir()


class Unpacked(Noting):
    """The plain Check and Run."""

    DEPS = (Place,)

    def check(self, place: Path) -> None:
        assert (place / "unpacked").read_text() == "whole"

    def Run(self, place: str) -> None:
        (self.noted(place, "run") / "unpacked").write_text("whole")


class Token(Noting):
    """Its Check, once it passes, fills the storage that all jobs share."""

    DEPS = (Place,)

    def check(self, place: Path) -> None:
        text = (place / "token").read_text()
        assert text == "sesame"
        self.global_storage["token"] = {"text": text, "uses": 0}

    def Run(self, place: str) -> None:
        (self.noted(place, "run") / "token").write_text("sesame")


class TokenUsed(Noting):
    """Needs what another job's Check put into the shared storage."""

    DEPS = (Token, Unpacked)

    def check(self, place: Path) -> None:
        assert (place / "used").read_text() == self.global_storage["token"]["text"]

    def Run(self, place: str) -> None:
        token = self.global_storage["token"]
        token["uses"] += 1
        (self.noted(place, "run") / "used").write_text(token["text"])


class Stubborn(Noting):
    """Fails twice, then succeeds."""

    DEPS = (Place,)
    TRIES = 3

    def check(self, place: Path) -> None:
        assert len((place / "stubborn").read_text()) >= 3

    def Run(self, place: str) -> None:
        with (self.noted(place, "run") / "stubborn").open("a") as file:
            file.write("x")


class Doomed(Noting):
    """Fails for good, at its second try."""

    DEPS = (Place,)
    TRIES = 2

    def check(self, place: Path) -> None:
        raise LookupError("never")

    def Run(self, place: str) -> None:
        (self.noted(place, "run") / "doomed").write_text("in vain")


class AboveDoomed(Noting):
    """Must never be reached."""

    DEPS = (Doomed, Unpacked)

    def check(self, place: Path) -> None:
        assert (place / "reached").exists()

    def Run(self, place: str) -> None:
        (self.noted(place, "run") / "reached").touch()


class Built(Noting):
    """Leaves a scratch directory, whose path only its own storage has, to its Cleanup."""

    DEPS = (Unpacked,)

    def check(self, place: Path) -> None:
        self.storage["scratch"] = str(place / "scratch")
        assert (place / "built").exists()

    def Run(self, place: str) -> None:
        scratch = Path(self.storage["scratch"])
        self.noted(place, "run")
        scratch.mkdir(exist_ok=True)
        (scratch / "half").write_text("half")
        (scratch / "half").replace(Path(place) / "built")

    def Cleanup(self) -> None:
        note(self.storage["place"], "cleanup Built")
        scratch = Path(self.storage["scratch"])
        if scratch.is_dir():
            scratch.rmdir()


class Locked(Noting):
    """Takes a lock that its Cleanup gives back: after that of all that came later."""

    DEPS = (Place,)

    def check(self, place: Path) -> None:
        assert (place / "lock").exists()

    def Run(self, place: str) -> None:
        (self.noted(place, "run") / "lock").write_text("mine")

    def Cleanup(self) -> None:
        note(self.storage["place"], "cleanup Locked")
        Path(self.storage["place"], "lock").unlink(missing_ok=True)


class Commanded(Noting):
    """Leaves its work to a command."""

    DEPS = (Locked,)

    def check(self, place: Path) -> None:
        assert (place / "commanded").read_text() == "done\n"

    def Run(self, place: str) -> None:
        self.noted(place, "run")
        self.run(["sh", "-c", "echo done >commanded"], cwd=place)


class Announced(RunonlyJob):
    """Not to be done twice, and nothing tells whether it was done."""

    DEPS = (TokenUsed,)

    def Run(self, place: str) -> None:
        note(place, "run Announced")
        with Path(place, "announced").open("a") as file:
            file.write("hear, hear\n")


class Pinged(RunonlyJob):
    """May be done as often as it takes."""

    DEPS = (Place,)
    ON_LOST = "rerun"

    def Run(self, place: str) -> None:
        note(place, "run Pinged")
        Path(place, "pinged").write_text("pong")


class Released(DummyJob):
    DEPS = (AboveDoomed, Announced, Built, Commanded, Pinged, Stubborn)


ROOT = Released
