"""How values are told on a terminal: times, counts, states, and text that does no harm."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from headway.jobs.states import JobState, RunState, Verdict
from headway.pictures.looks import LOOKS, Look

# Characters that move the cursor, hide or turn text round, or that no terminal can show.
_HARMFUL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)

_PLAIN: Mapping[str, str] = {
    # What stands for a symbol where only ASCII can be shown.
    JobState.PENDING: ".",
    JobState.RUNNING: ">",
    JobState.WAITING: "~",
    JobState.PASSED: "=",
    JobState.REPAIRED: "+",
    JobState.FAILED: "x",
    JobState.BLOCKED: "#",
    JobState.OVERDUE: "!",
    JobState.IN_DOUBT: "?",
    JobState.CANCELLED: "-",
    Verdict.DONE: "=",
    Verdict.WILL_RUN: ">",
    Verdict.UNKNOWN: ".",
    Verdict.NOT_CHECKABLE: "~",
}
# A run looks like a job that stands so; these have no job of their name.
_AS_JOB: Mapping[str, JobState] = {
    RunState.SUCCEEDED: JobState.REPAIRED,
    RunState.INTERRUPTED: JobState.WAITING,
    RunState.QUEUED: JobState.PENDING,
}


def printable(text: str) -> str:
    """Text for one line of a terminal: what could steer it is shown as an escape."""
    return _HARMFUL.sub(lambda match: _escaped(match[0]), text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines."""
    return "\n".join(printable(line.expandtabs()) for line in text.split("\n"))


def _escaped(character: str) -> str:
    known = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character)
    code = ord(character)
    return known or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def quoted(name: str) -> str:
    """A name as a word of a command line that can be typed, or pasted into a shell."""
    import shlex

    if not _HARMFUL.search(name):
        return shlex.quote(name)
    plain = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{printable(plain)}'"


def coloured(text: str, state: str) -> str:
    """Text in the colour of a state. ``click.echo`` takes it off where there is no terminal."""
    looks: Mapping[str, Look] = LOOKS  # type: ignore[assignment]
    look = looks.get(_AS_JOB.get(state, state))
    return f"\x1b[{look.ansi}m{text}\x1b[0m" if look is not None else text


def faint(text: str) -> str:
    return click.style(text, dim=True)


def symbol(state: JobState | Verdict) -> str:
    """The one character that stands for a state or verdict, in pictures too."""
    pretty = LOOKS[state].symbol
    try:
        pretty.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return _PLAIN[state]
    return pretty


def duration(seconds: float) -> str:
    """0.04 s, 1.2 s, 59 s, 3 min 5 s, 2 h 10 min, 3 d 4 h."""
    seconds = max(0.0, seconds)
    if seconds < 0.095:
        return f"{seconds:.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _pair(whole // 60, "min", whole % 60, "s")
    if whole < 86400:
        return _pair(whole // 3600, "h", whole % 3600 // 60, "min")
    return _pair(whole // 86400, "d", whole % 86400 // 3600, "h")


def _pair(first: int, unit: str, second: int, smaller: str) -> str:
    return f"{first} {unit} {second} {smaller}" if second else f"{first} {unit}"


def took(began_us: int, ended_us: int) -> str:
    """How long something took; "" when nobody knows."""
    return duration((ended_us - began_us) / 1e6) if began_us and ended_us else ""


def moment(at_us: int) -> str:
    """A moment by the reader's own clock."""
    local = datetime.fromtimestamp(at_us / 1e6, UTC).astimezone()
    return local.strftime("%Y-%m-%d %H:%M:%S")


def iso(at_us: int | None) -> str | None:
    """A moment for a program: ISO 8601, UTC, microseconds. None for none (or 0, unknown)."""
    if not at_us:
        return None
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="microseconds")


def number(count: int, noun: str) -> str:
    """1 job, 2 jobs, 0 tries."""
    if count == 1:
        return f"{count} {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("try") else f"{noun}s"
    return f"{count} {plural}"


def listed(names: Iterable[str], most: int = 3) -> str:
    """A, B, C and 4 more."""
    shown = [printable(name) for name in names]
    rest = len(shown) - most
    if rest > 1:
        return f"{', '.join(shown[:most])} and {rest} more"
    if len(shown) > 1:
        return f"{', '.join(shown[:-1])} and {shown[-1]}"
    return "".join(shown)


def tally(counts: Mapping[JobState | Verdict, int]) -> str:
    """2 repaired, 1 failed."""
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)


def width(text: str) -> int:
    """How many columns a text takes on a terminal, near enough without a table of characters."""
    from unicodedata import combining, east_asian_width

    if text.isascii():
        return len(text)
    wide = sum(east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(combining(character) > 0 for character in text)


def padded(text: str, columns: int) -> str:
    return text + " " * max(0, columns - width(text))


def table(rows: Sequence[Sequence[str]], headings: Sequence[str] = ()) -> list[str]:
    """Lines of columns. Cells are plain text; the last column is left as long as it is."""
    all_rows = [headings, *rows] if headings else list(rows)
    if not all_rows:
        return []
    widths = [max(width(row[place]) for row in all_rows) for place in range(len(all_rows[0]))]
    return [
        "  ".join(padded(cell, columns) for cell, columns in zip(row, widths, strict=True)).rstrip()
        for row in all_rows
    ]


def as_json(value: Any) -> str:
    """One line of JSON for a program."""
    import json

    return json.dumps(value, ensure_ascii=False)
