"""DoJobber: a plan of jobs carried out by a Python program, as a library."""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from headway.errors import DefinitionError
from headway.jobs.compiling import compile_jobs
from headway.jobs.events import CleanupEnded, Event, Live, PhaseEnded
from headway.jobs.outcomes import Phase
from headway.jobs.plan import Plan, Policy
from headway.jobs.states import JobState
from headway.ports.executor import Executor
from headway.runtime.arguments import require_accepted
from headway.runtime.runner import Runner

_TOLD: Mapping[JobState, bool] = {  # of jobs that did not succeed; None for the others
    JobState.WAITING: False,
    JobState.FAILED: False,
    JobState.OVERDUE: False,
}
_NO_RUN = "configure(RootJob) comes first: there is nothing to carry out yet"


class DoJobber:
    """Carries out a job and all that it needs, in this process; writes nothing to disk."""

    def __init__(self, dojobber_loglevel: int | str = logging.CRITICAL, **options: Any) -> None:
        """``dojobber_loglevel``: what DoJobber tells of its own work, to standard error.

        Of other keywords only ``cleanup`` means anything; ``configure`` has the last word on it.
        """
        self.nodestatus: dict[str, bool | None] = {}
        self.nodeexceptions: dict[str, BaseException] = {}
        self.noderesults: dict[str, Any] = {}
        self._logger = _logger(dojobber_loglevel)
        self._cleanup = bool(options.get("cleanup", True))
        self._args: tuple[Any, ...] = ()
        self._kwargs: dict[str, Any] = {}
        self._plan: Plan | None = None
        self._definitions: list[Any] = []
        self._looks: list[type] = []
        self._runner: Runner | None = None
        self._to_unwind: list[Runner] = []  # those with Cleanups that are still due
        self._cleanup_failed = False
        self._act = True
        self._verbose = False
        self._debug = False

    def configure(
        self,
        root: Any,
        no_act: bool = False,
        verbose: bool = False,
        debug: bool = False,
        cleanup: bool | None = None,
        default_tries: int = 3,
        default_retry_delay: float = 1,
    ) -> None:
        """Say what is to be brought about, and how.

        ``no_act``: only ask Checks. ``verbose``: a line for each phase to standard error;
        ``debug``: also the traceback of each failure. ``cleanup``: run Cleanups when it is over.
        Raises: DefinitionError.
        """
        policy = Policy(default_tries, default_retry_delay)
        self._plan, self._definitions, self._looks = compile_jobs(root, policy)
        self._act = not no_act
        self._verbose = verbose or debug
        self._debug = debug
        if cleanup is not None:
            self._cleanup = cleanup
        self._runner = None
        self.nodestatus = dict.fromkeys(self._plan.names)
        self.nodeexceptions = {}
        self.noderesults = {}
        if self._logger.isEnabledFor(logging.DEBUG):
            self._log_graph(self._plan)

    def set_args(self, *args: Any, **kwargs: Any) -> None:
        """Set what each Check and Run is called with."""
        self._args = args
        self._kwargs = kwargs

    def checknrun(self, node: Any = None) -> None:
        """Carry it out: a new run, every Check asked.

        ``node``: a class or name; only that job and what it needs.
        Raises: DefinitionError; what the first Cleanup that failed raised, the others as notes.
        """
        self._carry_out(self._executor(), node)

    def _carry_out(self, executor: Executor, node: Any) -> None:
        plan = self._configured()
        require_accepted(self._looks, self._args, self._kwargs)
        self._cleanup_failed = False
        listeners = []
        if self._verbose:
            listeners.append(verbose_lines(plan, sys.stderr, debug=self._debug))
        if self._logger.isEnabledFor(logging.DEBUG):
            listeners.append(self._logged)
        runner = self._runner = Runner(
            plan,
            self._definitions,
            executor,
            args=self._args,
            inputs=self._kwargs,
            listeners=listeners,
            watches_phases=bool(listeners),
            trace=self._debug,
            act=self._act,
            cleanup=self._cleanup,
            only=None if node is None else plan.below(self._key(plan, node)),
        )
        try:
            runner.run()
        finally:
            self._take_stock(plan, runner)
            if runner.unwinding.executed:
                self._to_unwind.append(runner)
        self._raise(_cleanup_errors(runner))

    def cleanup(self) -> None:
        """Run the Cleanups that have not been run yet, last first, whichever run they are of.

        Raises: as ``checknrun``.
        """
        errors: list[tuple[str, BaseException]] = []
        while self._to_unwind:
            runner = self._to_unwind[-1]
            runner.unwinding.failures.clear()
            runner.unwind_now()
            self._to_unwind.pop()
            errors += _cleanup_errors(runner)
        self._raise(errors)

    def success(self) -> bool:
        """Whether every job succeeded."""
        stands = self.nodestatus.values()
        return bool(self._runner) and all(stands) and not self._cleanup_failed

    def partial_success(self) -> bool:
        """Whether at least one job succeeded."""
        return any(self.nodestatus.values())

    def failure(self) -> bool:
        """Whether not every job succeeded; so before a run, too."""
        return not self.success()

    def write_graph(self, filed: IO[bytes], fmt: str = "png") -> None:
        """Write a picture of the plan, coloured by how its jobs stand, to an open binary file.

        ``fmt``: png, svg, dot, mermaid or txt.
        """
        from headway.runtime.pictures import draw

        filed.write(draw(self._configured(), self._states(), fmt))

    def display_graph(self) -> None:
        """Open the picture in the browser; without one, print it as text."""
        from headway.runtime.pictures import display

        display(self._configured(), self._states())

    def _executor(self) -> Executor:
        from headway.adapters.inline import Inline

        return Inline()

    def _configured(self) -> Plan:
        if self._plan is None:
            raise DefinitionError(_NO_RUN)
        return self._plan

    def _key(self, plan: Plan, node: Any) -> int:
        if isinstance(node, str):
            return plan.key_of(node)
        try:
            return self._definitions.index(node)
        except ValueError:
            return plan.key_of(getattr(node, "__name__", repr(node)))

    def _states(self) -> list[JobState]:
        if self._runner is None:
            return [JobState.PENDING] * len(self._configured())
        return self._runner.schedule.states_shown()

    def _take_stock(self, plan: Plan, runner: Runner) -> None:
        names = plan.names
        # Only the rarer states are looked up: an enum's hash is worked out in Python.
        passed, repaired = JobState.PASSED, JobState.REPAIRED
        stands = [
            True if state is passed or state is repaired else _TOLD.get(state)
            for state in runner.schedule.states
        ]
        self.nodestatus = dict(zip(names, stands, strict=True))
        results = runner.results
        self.noderesults = {
            name: results.get(key)
            for key, (name, stood) in enumerate(zip(names, stands, strict=True))
            if stood
        }
        self.nodeexceptions = {
            names[key]: failure.as_exception()
            for key, failure in runner.failures.items()
            if stands[key] is False and self._act
        }

    def _raise(self, errors: Sequence[tuple[str, BaseException]]) -> None:
        """Raise what the first Cleanup that failed raised, with the others as notes."""
        if not errors:
            return
        self._cleanup_failed = True
        (_, first), *others = errors
        for name, error in others:
            first.add_note(f"and the Cleanup of {name}: {type(error).__name__}: {error}")
        raise first

    def _log_graph(self, plan: Plan) -> None:
        for key, name in enumerate(plan.names):
            needs = ", ".join(plan.names[need] for need in plan.needs[key]) or "nothing"
            self._logger.debug("%s needs %s", name, needs)

    def _logged(self, event: Event | Live) -> None:
        self._logger.debug("%s", event)


def verbose_lines(
    plan: Plan, stream: IO[str], *, debug: bool = False
) -> Callable[[Event | Live], None]:
    """A listener that writes a line for each phase: ``Name.check: fail``."""

    def heard(event: Event | Live) -> None:
        if isinstance(event, PhaseEnded):
            phase, failure = event.phase, event.failure
        elif isinstance(event, CleanupEnded) and event.failure is not None:
            phase, failure = Phase.CLEANUP, event.failure
        else:
            return
        line = f"{plan.names[event.key]}.{phase}: {'fail' if failure else 'pass'}"
        if failure and phase in (Phase.RECHECK, Phase.CLEANUP):
            line += f' "{failure.message}"'
        print(line, file=stream)
        if debug and failure and failure.trace:
            print(failure.trace.rstrip(), file=stream)

    return heard


def _cleanup_errors(runner: Runner) -> list[tuple[str, BaseException]]:
    names = runner.plan.names
    return [(names[key], failure.as_exception()) for key, failure in runner.unwinding.failures]


def _logger(level: int | str) -> logging.Logger:
    # Not a named one, which all would share: its level is that of one DoJobber.
    logger = logging.Logger("dojobber", level)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(name)s: %(levelname)s: %(message)s"))
    logger.addHandler(handler)
    return logger
