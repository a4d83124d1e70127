"""shell: runs commands that its configuration lists, and no others; no shell reads anything.

A step names a command by its subcommand. What a step gives goes into the places that the command
has for it, as whole words or within one, after it was checked; it never becomes a word more.
"""

from collections.abc import Mapping
from typing import Any

from headway.adapters import commands
from headway.adapters.commands import CommandFailed
from headway.adapters.groups import how_ended
from headway.runtime import clocks
from headway.runtime.worker_output import Output
from headway.workers.keys import Keys, StepFailed
from headway.workers.listed_commands import ListedCommand, listed_command
from headway.workers.step_worker import Step, StepWorker, Work

LINES_A_STEP = 10_000  # of output that are passed on
CHARACTERS_A_STEP = 1_000_000
TAIL = 4_000  # characters of each stream in the answer


class ShellWorker(StepWorker):
    """``shell:NAME`` runs the command ``NAME`` of the configuration's ``commands``."""

    def configured(self, keys: Keys) -> None:
        listed = keys.section("commands", wanted="an object: the commands by their names")
        self.commands = {name: listed_command(name, one) for name, one in listed.sections()}
        if not self.commands:
            raise keys.wrong("commands", "an object with one command at least")

    def understood(self, step: Step) -> Work:
        command = self.commands.get(step.subcommand)
        if command is None:
            raise StepFailed(
                f"there is no command {step.subcommand[:80]!r}:"
                f" the configuration lists {', '.join(sorted(self.commands))}"
            )
        argv = command.argv(step)

        def work(output: Output) -> Mapping[str, Any]:
            return _run(command, argv, step, output)

        return work


def _run(command: ListedCommand, argv: list[str], step: Step, output: Output) -> Mapping[str, Any]:
    told = _Told(output)
    ends_at = clocks.monotonic() + command.timeout_s

    def end() -> float:
        other = step.patience.ends_at()
        return ends_at if other is None else min(ends_at, other)

    try:
        done = commands.run(
            argv,
            check=False,
            cwd=command.cwd,
            env=command.environment,
            inherit=False,
            input=None,
            wrote=told.line,
            started=lambda pid: None,
            over=lambda pid: None,
            ends_at=end,
            stopping=lambda: False,
        )
    except CommandFailed as error:
        late = clocks.monotonic() >= ends_at
        why = f"it took longer than {command.timeout_s:g} s" if late else step.patience.why()
        raise StepFailed(f"{command.name} was ended: {why}", **_tails(error.completed)) from error
    except (OSError, ValueError) as error:
        raise StepFailed(f"{command.name} cannot be run: {error}") from error
    finally:
        told.close()
    if done.returncode not in command.exit_codes:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        more = f": {last[0][:300]}" if last else ""
        raise StepFailed(f"{command.name} {how_ended(done.returncode)}{more}", **_tails(done))
    return {"data": {"code": done.returncode, **_tails(done)}}


def _tails(done: Any) -> dict[str, str]:
    return {"stdout": done.stdout[-TAIL:], "stderr": done.stderr[-TAIL:]}


class _Told:
    """Passes lines on, up to a limit; then counts them."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._lines = self._characters = self._lost = 0

    def line(self, stream: str, text: str) -> None:
        if self._lines >= LINES_A_STEP or self._characters + len(text) > CHARACTERS_A_STEP:
            self._lost += 1
            return
        self._lines += 1
        self._characters += len(text)
        self._output.log("WARNING" if stream == "err" else "INFO", text)

    def close(self) -> None:
        if self._lost:
            self._output.warning(f"(lines not sent: {self._lost})")
