"""Jobs that Celery workers of tests carry out."""

import os
from pathlib import Path
from typing import Any

from headway.jobs.job import Job, RunonlyJob
from headway.testing.sample_jobs import note, wait_for


def _come_and_wait(place: str) -> None:
    Path(place, "pid").write_text(str(os.getpid()))
    Path(place, "parent").write_text(str(os.getppid()))
    Path(place, "waits").touch()
    wait_for(Path(place, "go"))


class DoesItAndWaits(Job):
    """Does in Run all that it is there for, and goes on."""

    TRIES = 1

    def Check(self, *, place: str, **inputs: Any) -> str:
        assert Path(place, "done").exists()
        return "it is done"

    def Run(self, *, place: str, **inputs: Any) -> None:
        note(place, "ran")
        Path(place, "done").touch()
        _come_and_wait(place)


class RunsAndWaits(RunonlyJob):
    def Run(self, *, place: str, **inputs: Any) -> None:
        note(place, "ran")
        _come_and_wait(place)
        print("done waiting")


class GoesElsewhere(Job):
    QUEUE = "elsewhere"

    def Check(self, **inputs: Any) -> None: ...


class TellsWord(Job):
    WORD = ""

    def Check(self, **inputs: Any) -> str:
        return self.WORD
