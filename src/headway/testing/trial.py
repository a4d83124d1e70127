"""One try of one job, here and now: for the tests of those who write jobs."""

import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

from headway.adapters.inline import Inline
from headway.jobs.compiling import compile_jobs
from headway.jobs.job import Job
from headway.jobs.outcomes import Ending, Outcome, Phase
from headway.jobs.shared import SharedStorage
from headway.ports.executor import Ended, Work


class Trial(NamedTuple):
    """How a try ended, and all that could be seen of it."""

    ending: Ending  # compares with text too: "passed", "repaired", "failed"
    result: Any  # what the passing Check or Recheck returned (run-only: Run)
    error: BaseException | None  # what the last failing phase raised
    output: list[str]  # the lines the job wrote
    global_storage: dict[str, Any]  # after the try
    phase: Phase  # the last one entered
    executed: bool  # whether Run was entered

    @property
    def message(self) -> str:
        """What the error says; "" without one."""
        return str(self.error) if self.error is not None else ""


def trial(
    job: type[Job],
    *args: Any,
    global_storage: Mapping[str, Any] | None = None,
    act: bool = True,
    **inputs: Any,
) -> Trial:
    """Carry out one try of a job: Check, and if that fails Run and Check again.

    What the job needs (DEPS) is not carried out: set the scene yourself. ``args`` and ``inputs``
    are given to Check and Run; ``global_storage`` is what other jobs have left there. With
    ``act=False`` only Check is asked, as in a plan. Cleanup is not called.
    Raises: DefinitionError when the job is written wrongly.
    """
    alone = type(job.__name__, (job,), {"DEPS": (), "__module__": job.__module__})
    compiled = compile_jobs(alone)
    written: list[str] = []
    shared = SharedStorage(threading.get_ident, (global_storage or {}).items())
    work = Work(
        [job],
        compiled.plan.rules,
        shared,
        args,
        inputs,
        act=act,
        wrote=lambda key, number, stream, text: written.append(text),
    )
    executor = Inline()
    executor.open(work)
    try:
        outcome = _ended(executor)
    finally:
        executor.close()
    failure = outcome.failure
    return Trial(
        outcome.ending,
        outcome.result,
        failure.as_exception() if failure is not None else None,
        written,
        dict(shared),
        outcome.phase,
        outcome.executed,
    )


def _ended(executor: Inline) -> Outcome:
    outcome = executor.start(0, 1)
    while outcome is None:
        for news in executor.wait(None):
            if isinstance(news, Ended):
                outcome = news.outcome
    return outcome
