"""What is said of a worker. Values only."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple


class Verdict(StrEnum):
    OK = "ok"
    FAULT = "fault"
    NOT_USED = "not used"  # an optional part of the contract, which it does not have
    NOT_TRIED = "not tried"


class Check(NamedTuple):
    """One thing that is looked at."""

    name: str
    asks: str


CHECKS: tuple[Check, ...] = (
    Check("start", "It connects and consumes its queue."),
    Check("valid-step", "It answers a valid step `started`, then `completed`."),
    Check("bad-subcommand", "It answers `failed` to a subcommand that it does not have."),
    Check("missing-dynamic", "It answers `failed` to a step without its dynamic values."),
    Check("malformed-body", "It answers `failed` to what is no step message, and goes on."),
    Check("claims", "If it claims attempts, it runs what is granted, and nothing else."),
    Check("long-step", "It keeps its connection alive while a step outlasts the heartbeat."),
    Check("lost-connection", "It connects again, or leaves, when its connection is lost."),
    Check("stop", "Told to stop (SIGTERM), it finishes the step in hand and leaves."),
    Check("redelivery", "It takes a step that was delivered before as any other."),
    Check("bodies", "Its answers are JSON objects with a known `status`."),
    Check("correlation", "Its answers carry the step's correlation id."),
    Check("reply-address", "Its answers go to `reply_to`, on the default exchange."),
    Check("one-answer", "It says `started` once, then one final answer, then nothing."),
    Check("settlement", "It settles every delivery once, and loses none."),
    Check("prefetch", "It takes a bounded number of steps at once."),
    Check("output", "Its output lines are as described."),
    Check("notify", "Its notifications are as described."),
    Check("presence", "Its presence messages are as described."),
)
NAMES = tuple(check.name for check in CHECKS)


class Finding(NamedTuple):
    """What came of a check."""

    check: str
    verdict: Verdict
    text: str
    hint: str = ""  # what to change, or to type

    def to_plain(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "verdict": self.verdict.value,
            "finding": self.text,
            "hint": self.hint or None,
        }


def ok(check: str, text: str, hint: str = "") -> Finding:
    return Finding(check, Verdict.OK, text, hint)


def fault(check: str, text: str, hint: str) -> Finding:
    return Finding(check, Verdict.FAULT, text, hint)


def not_used(check: str, text: str) -> Finding:
    return Finding(check, Verdict.NOT_USED, text)


def not_tried(check: str, text: str, hint: str = "") -> Finding:
    return Finding(check, Verdict.NOT_TRIED, text, hint)


class Report(NamedTuple):
    """All findings, in the order of CHECKS."""

    step: str
    findings: Sequence[Finding]

    @property
    def faults(self) -> list[Finding]:
        return [one for one in self.findings if one.verdict is Verdict.FAULT]

    @property
    def conforms(self) -> bool:
        return not self.faults

    def to_plain(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "conforms": self.conforms,
            "checks": [one.to_plain() for one in self.findings],
        }


def in_order(findings: Sequence[Finding], chosen: Sequence[str]) -> list[Finding]:
    """One finding a check, of those chosen: a fault if there is one."""
    found: dict[str, Finding] = {}
    for one in findings:
        known = found.get(one.check)
        if known is None or (one.verdict is Verdict.FAULT and known.verdict is not Verdict.FAULT):
            found[one.check] = one
    return [found[name] for name in NAMES if name in found and name in chosen]
