"""A stage on which DoJobber's jobs play: they note what is called, and do as they are told."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import dojobber

NEVER = math.inf


class Stage:
    """Makes jobs that note each call in ``said``, and whose world is a count of Runs."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.runs: Counter[str] = Counter()

    def job(
        self,
        name: str,
        *deps: type[dojobber.Job],
        runs: float = 0,
        cleans: bool = False,
        **own: Any,
    ) -> type[dojobber.Job]:
        """A job whose Check passes once it was Run so often; ``cleans``: it has a Cleanup."""

        def check(job: dojobber.Job, *args: Any, **kwargs: Any) -> None:
            self.said.append(f"{name}.{job._check_phase}")
            if self.runs[name] < runs:
                raise RuntimeError(f"{name} was run {self.runs[name]} times")

        body: dict[str, Any] = {"DEPS": deps, "Check": check, "Run": self._run(name)}
        return type(name, (dojobber.Job,), {**body, **self._cleanup(name, cleans), **own})

    def runonly(
        self,
        name: str,
        *deps: type[dojobber.Job],
        runs: float = 1,
        cleans: bool = False,
        **own: Any,
    ) -> type[dojobber.Job]:
        """A run-only job whose Run is content when it was called so often."""

        def run(job: dojobber.Job, *args: Any, **kwargs: Any) -> None:
            self._run(name)(job)
            if self.runs[name] < runs:
                raise RuntimeError(f"{name} was run {self.runs[name]} times")

        body: dict[str, Any] = {"DEPS": deps, "Run": run}
        return type(name, (dojobber.RunonlyJob,), {**body, **self._cleanup(name, cleans), **own})

    def dummy(self, name: str, *deps: type[dojobber.Job]) -> type[dojobber.Job]:
        return type(name, (dojobber.DummyJob,), {"DEPS": deps})

    def _run(self, name: str) -> Callable[..., None]:
        def run(job: dojobber.Job, *args: Any, **kwargs: Any) -> None:
            self.said.append(f"{name}.run")
            self.runs[name] += 1

        return run

    def _cleanup(self, name: str, cleans: bool) -> dict[str, Any]:
        def cleanup(job: dojobber.Job) -> None:
            self.said.append(f"{name}.cleanup")

        return {"Cleanup": cleanup} if cleans else {}


def configured(root: Any, **options: Any) -> dojobber.DoJobber:
    """A DoJobber that waits for nothing between tries, unless told to."""
    dojob = dojobber.DoJobber()
    dojob.configure(root, **{"default_retry_delay": 0, **options})
    return dojob


def carried_out(root: Any, **options: Any) -> dojobber.DoJobber:
    """A DoJobber that has carried out the root and all that it needs."""
    dojob = configured(root, **options)
    dojob.checknrun()
    return dojob
