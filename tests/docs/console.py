"""Runs what a page of documentation shows.

How to write a page so that it is tested:

- A block fenced as ``console`` is run. A line ``$ command`` is typed, lines ``> ...`` right
  below continue it, and what follows is what the reader sees. Nothing there: any output will do.
  ``…`` stands for any text in a line, and alone on a line for any number of lines. How many
  blanks stand between words does not count.
- A command must succeed, unless the next one shows its exit code (``$ echo $?``).
  ``headway plan`` also succeeds with 2, which says that there is something to do.
- ``<!-- file: NAME -->`` on the line above any fenced block puts the block into file NAME.
- All of a page happens in order, in one shell, in one empty directory, with an empty home, with
  ``headway`` on PATH and a copy of ``examples/`` at hand.
- Where the page or an example says 8320 to 8322 or 8331 to 8333, a free port is used instead.
  Processes that the page leaves behind in its directory are ended.
- Blocks fenced as ``sh`` are shown only.
"""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 120.0
PORTS = ("8320", "8321", "8322", "8331", "8332", "8333")
# What somebody who tried an example has left in its directory.
LEFT_BY_USERS = shutil.ignore_patterns("__pycache__", ".headway", "rolling-site", "little-fleet")
MARK = "--- 7d1f the shell has done this ---"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; LINE is the number of its opening fence."""

    line: int
    kind: str
    text: str
    file: str | None


@dataclass(frozen=True)
class Command:
    """A command of a page and the output the page promises."""

    line: int
    text: str
    expected: tuple[str, ...]

    @property
    def looks_at_exit_code(self) -> bool:
        return "$?" in self.text

    @property
    def successes(self) -> tuple[int, ...]:
        return (0, 2) if self.text.startswith("headway plan ") else (0,)


@dataclass(frozen=True)
class Result:
    output: str
    exit_code: int


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of the Markdown text PAGE, in order."""
    lines = page.splitlines()
    at = 0
    while at < len(lines):
        if opening := re.fullmatch(r"(\s*)(`{3,})\s*([\w-]*).*", lines[at]):
            indent, fence, kind = opening.groups()
            named = re.fullmatch(r"\s*<!-- file: (\S+) -->", lines[at - 1]) if at else None
            start = at + 1
            at = start
            while at < len(lines) and lines[at].strip() != fence:
                at += 1
            text = "\n".join(line.removeprefix(indent) for line in lines[start:at])
            yield Block(start, kind, text + "\n", named[1] if named else None)
        at += 1


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block; raises ValueError on output without a command."""
    text: list[str] = []
    expected: list[str] = []
    line = 0
    for number, content in enumerate(block.text.splitlines(), block.line + 1):
        if content.startswith("$ "):
            if text:
                yield Command(line, "\n".join(text), tuple(expected))
            line, text, expected = number, [content[2:]], []
        elif content.startswith(("> ", ">")) and text and not expected:
            text.append(content[2:])
        elif text:
            expected.append(content)
        elif content.strip():
            raise ValueError(f"line {number}: output before the first '$ command'")
    if text:
        yield Command(line, "\n".join(text), tuple(expected))


def matches(expected: tuple[str, ...], output: str) -> bool:
    """Whether OUTPUT is what the page promises."""
    promised = [" ".join(line.split()) for line in expected]
    while promised and not promised[-1]:
        promised.pop()
    if not promised:
        return True
    pattern = "".join(
        r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r"\n"
        for line in promised
    )
    seen = "".join(" ".join(line.split()) + "\n" for line in output.strip("\n").splitlines())
    return re.fullmatch(pattern, seen) is not None


def shell_script(steps: list[Block | Command]) -> str:
    """One script for a whole page, which prints MARK and the exit code after each command."""
    lines: list[str] = []
    for step in steps:
        if isinstance(step, Command):
            lines.append(step.text)
            lines.append(f"status=$?; printf '\\n%s %s\\n' '{MARK}' $status; (exit $status)")
        else:
            name = shlex.quote(str(step.file))
            lines.append(f"mkdir -p -- $(dirname -- {name})")
            lines.append(f"printf %s {shlex.quote(step.text)} > {name}")
    return "\n".join(lines) + "\n"


def run_script(script: str, directory: Path) -> str:
    """What SCRIPT prints, both streams together, run as in a new user's terminal."""
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    script = replaced(script, ports)
    home = directory / "home"
    place = directory / "work"
    home.mkdir()
    place.mkdir()
    if (REPOSITORY / "examples").is_dir():
        shutil.copytree(REPOSITORY / "examples", place / "examples", ignore=LEFT_BY_USERS)
        use_ports(place / "examples", ports)
    printed = directory / "printed"
    # Into a file: a process that outlives the page on purpose would keep a pipe open.
    with printed.open("wb") as output:
        shell = subprocess.Popen(
            ["/bin/sh", "-c", script],
            cwd=place,
            env={
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
                "HOME": str(home),
                "LC_ALL": "C.UTF-8",
                "TERM": "dumb",
                "COLUMNS": "100",
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            shell.wait(DEADLINE_S)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
            end_what_is_left(place)
    text = printed.read_text("utf-8", errors="replace")
    return replaced(text, {port: shown for shown, port in ports.items()})


def free_ports(number: int) -> list[str]:
    """Ports that nobody listens at just now."""
    with ExitStack() as stack:
        trials = [stack.enter_context(socket.socket()) for _ in range(number)]
        for trial in trials:
            trial.bind(("127.0.0.1", 0))
        return [str(trial.getsockname()[1]) for trial in trials]


def use_ports(examples: Path, ports: Mapping[str, str]) -> None:
    """Have a copy of the examples use other ports than they name."""
    for file in examples.rglob("*"):
        if file.suffix in (".py", ".yaml", ".json") and "node_modules" not in file.parts:
            text = file.read_text("utf-8")
            other = replaced(text, ports)
            if other != text:
                file.write_text(other, "utf-8")


def replaced(text: str, ports: Mapping[str, str]) -> str:
    return re.sub(rf"\b({'|'.join(ports)})\b", lambda found: ports[found[1]], text)


def end_what_is_left(place: Path) -> None:
    """End the processes that work below PLACE, where the system says which do (Linux)."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").resolve(strict=True).is_relative_to(place.resolve()):
                os.kill(int(process.name), signal.SIGKILL)


def results(printed: str) -> list[Result]:
    """What each command of a script printed and how it ended."""
    parts = re.split(rf"\n{re.escape(MARK)} (\d+)\n", printed)
    return [
        Result(output, int(code)) for output, code in zip(parts[::2], parts[1::2], strict=False)
    ]


def complaints(page: str, directory: Path) -> list[str]:
    """Runs PAGE in DIRECTORY; says of each command that did not do what PAGE shows, what it did."""
    steps: list[Block | Command] = []
    for block in blocks(page):
        if block.kind == "console":
            steps.extend(commands(block))
        elif block.file:
            steps.append(block)
    asked = [step for step in steps if isinstance(step, Command)]
    if not asked:
        return []
    done = results(run_script(shell_script(steps), directory))
    found = [
        f"line {command.line}: the shell ended here: $ {command.text}"
        for command in asked[len(done) : len(done) + 1]
    ]
    for number, (command, result) in enumerate(zip(asked, done, strict=False)):
        shown = f"line {command.line}: $ {command.text}\n"
        code_is_shown = number + 1 < len(asked) and asked[number + 1].looks_at_exit_code
        if result.exit_code not in command.successes and not code_is_shown:
            found.append(f"{shown}exit code {result.exit_code}, having printed:\n{result.output}")
        elif not matches(command.expected, result.output):
            promised = "\n".join(command.expected)
            found.append(f"{shown}the page shows:\n{promised}\nit printed:\n{result.output}")
    return found
