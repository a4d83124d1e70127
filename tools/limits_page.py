"""Writes the page of limits from the code: ``python -m tools.limits_page``."""

from itertools import groupby
from pathlib import Path

from headway.runtime.limits import LIMITS, Limit, value_of

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "limits.md"

INTRODUCTION = """\
# Limits and times

Every limit that is not a job's own (`TRIES`, `TIMEOUT`, … stand with [jobs](jobs.md)); how much \
output is kept stands with the [store](store.md). The last column says where each is written in \
the code, below `headway`. `headway doctor` prints those in force. This page is written by \
`python -m tools.limits_page`.
"""


def page() -> str:
    parts = [INTRODUCTION]
    for area, limits in groupby(LIMITS, key=lambda limit: limit.area):
        rows = "".join(map(_row, limits))
        parts.append(f"\n## {area}\n\n| limit | value | where |\n|---|---|---|\n{rows}")
    return "".join(parts)


def _row(limit: Limit) -> str:
    value = f"{value_of(limit):,.10g} {limit.unit}".strip()
    return f"| {limit.says} | {value} | `{limit.where}` |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
