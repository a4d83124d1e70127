"""Looks at this machine's clocks, beside those of the database and the broker if they were seen."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from headway.runtime.doctor.finding import Area

APART_S = 1.0  # by which clocks may differ
STEP_S = 0.05  # by which the wall clock may stray from the monotonic one while we look


class Watch(NamedTuple):
    """Both clocks at one moment."""

    monotonic_s: float
    wall_s: float

    @classmethod
    def read(
        cls,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> "Watch":
        return cls(monotonic(), wall())


class Other(NamedTuple):
    """Another clock than ours."""

    whose: str  # "the database's"
    ahead_s: float  # of ours
    unsure_s: float  # by which that may be wrong


def examine(
    area: Area, began: Watch, ended: Watch, others: list[Other], newest_run_us: int
) -> None:
    """``began``, ``ended``: of the examination, the longer apart the better."""
    passed_s = ended.monotonic_s - began.monotonic_s
    strayed_s = ended.wall_s - began.wall_s - passed_s
    said = f"{datetime.fromtimestamp(ended.wall_s, UTC):%F %T} UTC"
    if passed_s < 0 or not time.get_clock_info("monotonic").monotonic:
        area.problem(
            "the monotonic clock went back: deadlines and delays cannot be kept",
            "look at the virtual machine's clock source",
        )
    if abs(strayed_s) > STEP_S:
        area.warn(
            f"{said}; the clock was set by {strayed_s:+.2f} s while we looked",
            "let a time service slew the clock instead of setting it",
        )
    else:
        area.ok(f"{said}; it keeps pace with the monotonic clock")
    for other in others:
        _beside(area, other)
    if newest_run_us / 1e6 > ended.wall_s + APART_S:
        late_s = newest_run_us / 1e6 - ended.wall_s
        area.warn(
            f"the newest run of the store began {late_s:.0f} s from now: a clock is wrong",
            "keep the clocks of all machines right by a time service (NTP)",
        )


def _beside(area: Area, other: Other) -> None:
    beyond_s = abs(other.ahead_s) - other.unsure_s
    where = "ahead of" if other.ahead_s > 0 else "behind"
    if beyond_s > APART_S:
        area.warn(
            f"{other.whose} clock is {abs(other.ahead_s):.1f} s {where} this one: times that are"
            " shown, and deadlines of steps, are off by as much",
            "keep the clocks of all machines right by a time service (NTP)",
        )
    else:
        unsure_ms = max(1, round((abs(other.ahead_s) + other.unsure_s) * 1000))
        area.ok(f"{other.whose} clock says the same, within {unsure_ms} ms")
