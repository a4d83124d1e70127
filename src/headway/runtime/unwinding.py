"""The Cleanups that are due of the jobs of a run, and how they went."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from headway.jobs.events import CleanupEnded, CleanupIntended
from headway.jobs.outcomes import Failure, Outcome
from headway.jobs.shared import Changes
from headway.ports.executor import Executor
from headway.runtime.record import Record


class Executed(NamedTuple):
    """A try whose Run was entered and whose Cleanup is due."""

    key: int
    number: int
    job: Any  # the object, if it is still at hand
    storage: Changes | None


class Unwinding:
    """Last first. The Cleanup of a try is due once, however often the try was begun."""

    def __init__(
        self,
        executed: Iterable[Executed] = (),
        failures: Iterable[tuple[int, Failure]] = (),
    ) -> None:
        """Those that were due when the run was taken up, and what had failed."""
        self.executed = list(executed)
        self.failures = list(failures)
        self._inherited = {(entry.key, entry.number) for entry in self.executed}

    def entered(self, key: int, number: int, so_far: Outcome) -> None:
        """A Run of a job with a Cleanup is about to start."""
        if (key, number) in self._inherited:
            # Begun again after a death: one try, one Cleanup, with what is newer.
            self.executed = [e for e in self.executed if (e.key, e.number) != (key, number)]
        self.executed.append(Executed(key, number, so_far.job, so_far.storage))

    def ended(self, key: int, number: int, outcome: Outcome) -> None:
        """Now that the try is over, its Cleanup can have what the try left behind."""
        for place in range(len(self.executed) - 1, -1, -1):
            entry = self.executed[place]
            if entry.key == key and entry.number == number:
                if outcome.executed:
                    storage = outcome.storage or entry.storage
                    self.executed[place] = Executed(key, number, outcome.job or entry.job, storage)
                elif (key, number) not in self._inherited:
                    del self.executed[place]  # a step that no worker took
                return

    def clean_up(self, executor: Executor, record: Record, goes_on: Callable[[int], bool]) -> None:
        """Run the Cleanups that are due. One that fails does not stop the others.

        A try whose code goes on although it was asked to end keeps its Cleanup: it is still due
        when the run is taken up again.
        """
        going: list[Executed] = []
        while self.executed:
            entry = self.executed[-1]
            if goes_on(entry.key):
                going.insert(0, self.executed.pop())
                continue
            record.write(CleanupIntended(record.clock.now_us(), entry.key, entry.number))
            failure = executor.cleanup(*entry)
            self.executed.pop()
            if failure is not None:
                self.failures.append((entry.key, failure))
            told = failure and failure._replace(exception=None)
            record.write(CleanupEnded(record.clock.now_us(), entry.key, entry.number, told))
        self.executed = going
