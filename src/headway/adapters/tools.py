"""What a job is lent for the time of a try."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from headway.adapters import commands
from headway.adapters.lines import LONGEST_LINE, shortened
from headway.errors import Refused
from headway.jobs.job import Completed
from headway.jobs.shared import SharedStorage
from headway.ports.executor import Work


class Stop:
    """Whether what runs is asked to end. Without a lock: set by signal handlers, too."""

    __slots__ = ("_asked",)

    def __init__(self) -> None:
        self._asked = False

    def set(self) -> None:
        self._asked = True

    def is_set(self) -> bool:
        return self._asked


class JobOutput:
    """Writes lines to the run's output, in the manner of a logger and of a file."""

    def __init__(self, wrote: Callable[[str, str], None]) -> None:
        self._wrote = wrote
        self._rest = ""

    def debug(self, message: object, *args: object) -> None:
        self._say("debug", message, args)

    def info(self, message: object, *args: object) -> None:
        self._say("info", message, args)

    def warning(self, message: object, *args: object) -> None:
        self._say("warning", message, args)

    def error(self, message: object, *args: object) -> None:
        self._say("error", message, args)

    def write(self, text: str) -> int:
        """As a file's, for ``print(..., file=self.output)``: a line is told when it is whole."""
        *lines, rest = text.split("\n")
        for line in lines:
            self._wrote("info", shortened(self._rest + line))
            self._rest = ""
        if len(self._rest) <= LONGEST_LINE:
            self._rest += rest[: LONGEST_LINE + 1]
        return len(text)

    def flush(self) -> None:
        """Tell what was begun of a line. Done at the end of a try, too."""
        if self._rest:
            self.write("\n")

    def _say(self, level: str, message: object, args: tuple[object, ...]) -> None:
        text = str(message) % args if args else str(message)
        for line in text.splitlines() or [""]:
            self._wrote(level, shortened(line))


class Tools:
    """The tools of one try; the inline executor uses one object for all, one after the other."""

    __slots__ = ("_output", "_stop", "_work", "ends_at", "has_output", "key", "number", "shared")

    def __init__(self, work: Work, stop: Stop, key: int = -1, number: int = 0) -> None:
        self.shared: SharedStorage = work.shared
        self.key = key
        self.number = number
        self.ends_at: float | None = None  # monotonic: when the phase under way is to be over
        self._work = work
        self._stop = stop
        self._output: JobOutput | None = None
        self.has_output = False  # since ``finish``; asked after every try, so not a method

    def output(self) -> JobOutput:
        if self._output is None:
            self.has_output = True
            wrote, key, number = self._work.wrote, self.key, self.number
            self._output = JobOutput(lambda s, t: wrote(key, number, s, t))
        return self._output

    def finish(self) -> None:
        """The try is over: what was begun of a line is told."""
        if self._output is not None:
            self._output.flush()
            self._output = None
            self.has_output = False

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool,
        cwd: str | None,
        env: Mapping[str, str] | None,
        input: str | None,
    ) -> Completed:
        work, key, number = self._work, self.key, self.number
        return commands.run(
            argv,
            check=check,
            cwd=cwd,
            env=commands.marked(env, work.run, key, number) if work.run else env,
            input=input,
            wrote=lambda stream, text: work.wrote(key, number, stream, text),
            started=lambda pid: work.started_process(key, number, pid),
            over=lambda pid: work.process_ended(key, number, pid),
            ends_at=lambda: self.ends_at,
            stopping=self._stop.is_set,
        )

    def start(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None,
        env: Mapping[str, str] | None,
        stdout: str | None,
    ) -> int:
        if not self._work.act:
            raise Refused("a plan changes nothing: self.start is for Run")
        return commands.start(argv, cwd=cwd, env=env, stdout=stdout)

    @property
    def deadline(self) -> datetime | None:
        if self.ends_at is None:
            return None
        return datetime.now(UTC) + timedelta(seconds=self.ends_at - time.monotonic())

    @property
    def stopping(self) -> bool:
        late = self.ends_at is not None and time.monotonic() >= self.ends_at
        return late or self._stop.is_set()
