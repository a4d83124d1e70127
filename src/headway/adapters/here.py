"""Single phases, here and now: a Check that is only asked, a Cleanup."""

import time
from typing import Any

from headway.adapters.explain import explain
from headway.adapters.tools import Stop, Tools
from headway.jobs.outcomes import Ending, Failure, Outcome, Phase
from headway.jobs.shared import Changes
from headway.ports.executor import Work


def ask_check(work: Work, key: int) -> Outcome:
    """Ask one job's Check and nothing else. The outcome holds the job object."""
    job: Any = None
    tools = _tools(work, key, 1)
    try:
        job = work.definitions[key]()
        job._tools = tools
        result = job.Check(*work.args, **work.kwargs)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        failure = explain(job, error, trace=work.trace)
        diff = _diff(work, job) if work.diffs and work.rules[key].has_run else ""
        return Outcome(Ending.FAILED, failure=failure, final=True, job=job, diff=diff)
    finally:
        tools.finish()
    return Outcome(Ending.PASSED, result, shared=work.shared.changes(), job=job)


def _diff(work: Work, job: Any) -> str:
    """What the job says would change."""
    if not hasattr(type(job), "Diff"):
        return ""
    try:
        return str(job.Diff(*work.args, **work.kwargs) or "")
    except Exception as error:
        return f"(Diff failed: {type(error).__name__}: {error})"


def clean_up(
    work: Work, key: int, number: int, job: Any, storage: Changes | None
) -> Failure | None:
    """Run one Cleanup. Without ``job`` a fresh object is made and given ``storage``."""
    tools = _tools(work, key, number)
    try:
        if job is None:
            job = _restored(work, key, storage)
        job._tools = tools
        job.Cleanup()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return explain(job, error, trace=work.trace)
    finally:
        tools.finish()
    return None


def _tools(work: Work, key: int, number: int) -> Tools:
    """Tools for one phase, with a Stop that nobody sets.

    A run that is being stopped must still be able to put things away.
    """
    tools = Tools(work, Stop(), key, number)
    timeout_s = work.rules[key].timeout_s
    if timeout_s is not None:
        tools.ends_at = time.monotonic() + timeout_s
    return tools


def _restored(work: Work, key: int, storage: Changes | None) -> Any:
    """A job object as a dead process left it, as far as its storage was journalled.

    What JSON could not carry only its Check can bring back.
    """
    if storage is None or not storage.opaque:
        job = work.definitions[key]()
    else:
        job = ask_check(work, key).job
    if storage is not None:
        job.storage.update(storage.set)
        missing = [name for name in storage.opaque if name not in job.storage]
        if missing:
            raise LookupError(
                f"{Phase.CLEANUP} misses storage[{missing[0]!r}]"
                f" ({storage.opaque[missing[0]]}), which JSON cannot carry: let Check set it,"
                " or keep only what JSON can carry there"
            )
    return job
