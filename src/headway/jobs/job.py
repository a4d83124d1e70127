"""The classes a job is written with: Job, DummyJob and RunonlyJob.

A job class says how to know that something is done (``Check``) and how to get it done
(``Run``). It is a definition: whoever carries it out makes a fresh object for every try and
lends it *tools* (output, commands, deadline), so that the class needs nothing of the world.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, Protocol

from headway.errors import DefinitionError
from headway.jobs.shared import SharedStorage


class Output(Protocol):
    """Where a job's words go: kept with the run, shown by ``headway logs``."""

    def debug(self, message: object, *args: object) -> None: ...
    def info(self, message: object, *args: object) -> None: ...
    def warning(self, message: object, *args: object) -> None: ...
    def error(self, message: object, *args: object) -> None: ...
    def write(self, text: str) -> int: ...


class Completed(NamedTuple):
    """How a command ended."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str  # standard output; its last 1 MiB
    stderr: str  # standard error; its last 1 MiB


class Tools(Protocol):
    """What an executor lends a job for the time of one try."""

    shared: SharedStorage

    def output(self) -> Output: ...
    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool,
        cwd: str | None,
        env: Mapping[str, str] | None,
        input: str | None,
    ) -> Completed: ...
    def start(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None,
        env: Mapping[str, str] | None,
        stdout: str | None,
    ) -> int: ...
    @property
    def deadline(self) -> datetime | None: ...
    @property
    def stopping(self) -> bool: ...


class _Storage:
    """A dictionary of the job's own, made when it is first asked for."""

    def __get__(self, job: "Job | None", owner: type) -> Any:
        if job is None:
            return self
        storage: dict[str, Any] = {}
        job.__dict__["storage"] = storage
        return storage


ALWAYS = "always"
WHEN = (ALWAYS, "completed", "failed")  # after which end of all the rest a finally-node is due


class Rules(NamedTuple):
    """How a job is to be treated; shared by all jobs that are treated alike."""

    tries: int = 3
    retry_delay_s: float = 1.0
    timeout_s: float | None = None  # bounds each phase
    backoff: str = "fixed"  # or "exponential"
    on_lost: str = "ask"  # or "rerun", "fail": what becomes of a Run whose end nobody saw
    tags: tuple[str, ...] = ()
    has_check: bool = True
    has_run: bool = True
    has_cleanup: bool = False
    finally_: bool = False  # starts when all the rest is over, however it went
    when: str = ALWAYS  # one of WHEN; of a finally-node that puts nothing away


class NodeSpec(NamedTuple):
    """What an item of DEPS tells the compiler of a plan about itself."""

    name: str
    ref: str  # "module:Qualified.Name", where the definition can be found again
    needs: Iterable[Any]  # items with plan_node()
    rules: Rules


class Job:
    """One thing to be brought about, and the way to know that it is.

    Override ``Check`` (raise an exception when the thing is not so), ``Run`` (bring it about)
    and, where there is something to put away afterwards, ``Cleanup``. Both Check and Run are
    given all of the run's arguments. ``Diff``, if there is one, returns a text that a plan
    shows when Check failed.
    """

    DEPS: ClassVar[Iterable[Any]] = ()
    TRIES: ClassVar[int | None] = None  # None: the plan's default, 3
    RETRY_DELAY: ClassVar[float | None] = None  # seconds; None: the plan's default, 1
    TIMEOUT: ClassVar[float | None] = None  # seconds, for each phase; None: no bound
    BACKOFF: ClassVar[str] = "fixed"
    RETRY_ON: ClassVar[type[BaseException] | tuple[type[BaseException], ...] | None] = None
    ON_LOST: ClassVar[str] = "ask"
    TAGS: ClassVar[Iterable[str]] = ()
    QUEUE: ClassVar[str | None] = None  # of Celery, where tries go there; None: the app's default

    Check: Callable[..., Any]
    Run: Callable[..., Any]
    Cleanup: Callable[[], Any]
    Diff: Callable[..., Any]

    host: str | None = None  # the one it is done for, as a step of a playbook
    storage = _Storage()
    _check_phase: str = "check"
    _tools: Tools | None = None

    @property
    def global_storage(self) -> SharedStorage:
        """The dictionary that all jobs of a run share."""
        return self._lent().shared

    @property
    def output(self) -> Output:
        """Where to write what a reader of the run should see."""
        return self._lent().output()

    @property
    def deadline(self) -> datetime | None:
        """When the phase under way is to be over (aware, UTC); None without a TIMEOUT."""
        return self._lent().deadline

    @property
    def stopping(self) -> bool:
        """Whether this try should end soon: its deadline has passed or the run is cancelled."""
        return self._lent().stopping

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        input: str | None = None,
    ) -> Completed:
        """Run a command to its end, its lines going to the output as they come.

        The command obeys the try's deadline and a cancelled run (TERM, then KILL, to its
        whole group) and dies with the run.

        Raises: CommandFailed when it ends with a code other than 0 (unless ``check=False``)
        or was stopped at the deadline; FileNotFoundError when there is no such command.
        """
        return self._lent().run(argv, check=check, cwd=cwd, env=env, input=input)

    def start(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdout: str | None = None,
    ) -> int:
        """Start a process that is meant to outlive the run, and return its process id.

        ``stdout`` names a file that its output is appended to; by default it is discarded.
        """
        return self._lent().start(argv, cwd=cwd, env=env, stdout=stdout)

    def _lent(self) -> Tools:
        if self._tools is None:
            raise DefinitionError(
                f"{type(self).__name__} is not being carried out: storage shared with other"
                " jobs, output, commands and deadline exist only within a run."
                " In a test, use headway.testing.trial."
            )
        return self._tools


class DummyJob(Job):
    """Groups the jobs it needs; has nothing to check or to do itself."""

    def Check(self, *args: Any, **kwargs: Any) -> None:
        """Pass: all that it needs is done."""


class RunonlyJob(Job):
    """Has no Check: its ``Run`` is executed in every run, and fails the job if it raises."""


def kind_of(cls: type[Job]) -> str:
    """'dummy', 'runonly' or 'job'."""
    if issubclass(cls, DummyJob):
        return "dummy"
    return "runonly" if issubclass(cls, RunonlyJob) else "job"
