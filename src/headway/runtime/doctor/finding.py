"""What an examination says: one thing that was looked at, how it stands, what to do about it."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple


class Grade(StrEnum):
    """How a thing stands."""

    OK = "ok"
    WARNING = "warning"  # it works; it will not always, or not safely
    PROBLEM = "problem"  # it does not work, or is dangerous
    UNKNOWN = "unknown"  # it cannot be seen from here


class Finding(NamedTuple):
    """One line of a report."""

    area: str
    grade: Grade
    says: str
    remedy: str = ""  # what to do; "" where nothing is to be done
    commands: Sequence[str] = ()  # to be typed for it
    is_away: bool = False  # a bus or store that was asked for does not answer: try again later


class Area:
    """Collects the findings on one subject."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.findings: list[Finding] = []

    def ok(self, says: str) -> None:
        self.findings.append(Finding(self.name, Grade.OK, says))

    def unknown(self, says: str, remedy: str = "", *commands: str) -> None:
        self.findings.append(Finding(self.name, Grade.UNKNOWN, says, remedy, commands))

    def warn(self, says: str, remedy: str, *commands: str) -> None:
        self.findings.append(Finding(self.name, Grade.WARNING, says, remedy, commands))

    def problem(self, says: str, remedy: str, *commands: str, is_away: bool = False) -> None:
        self.findings.append(Finding(self.name, Grade.PROBLEM, says, remedy, commands, is_away))
