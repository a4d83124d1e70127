"""Lines between boxes: orthogonal routes made smooth.

A path is a tuple of steps. The first is a point; each further one is a straight line to a point
(2 numbers), a quadratic curve (4: control, end) or a cubic one (6: two controls, end).
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Point = tuple[float, float]
Path = tuple[tuple[float, ...], ...]

_CORNER = 8.0  # px, radius where a line turns


@dataclass(frozen=True, slots=True)
class Placed:
    """Where blocks and lines are, in pixels; paths come in the order of blocks and their needs."""

    corners: tuple[Point, ...]  # upper left
    paths: tuple[Path, ...]


def turned(path: Path) -> Path:
    """The path with x and y exchanged."""
    return tuple(
        tuple(step[at ^ 1] for at in range(len(step)))  # (x, y, x, y) -> (y, x, y, x)
        for step in path
    )


def rounded(points: Sequence[Point]) -> Path:
    """The polyline with its corners rounded."""
    points = _without_repeats(points)
    steps: list[tuple[float, ...]] = [points[0]]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        reach = min(_CORNER, _length(before, corner) / 2, _length(corner, after) / 2)
        steps.append(_towards(corner, before, reach))
        steps.append((*corner, *_towards(corner, after, reach)))
    steps.append(points[-1])
    return tuple(steps)


def curved(points: Sequence[Point], gaps: Sequence[Point]) -> Path:
    """The downward orthogonal route with its sideways runs replaced by gentle curves.

    `gaps` are the free bands (top, bottom) between layers, from the top. A curve fills its gap
    and stays within it, so it meets no box. A route that goes up, or sideways outside the gaps,
    is only rounded.
    """
    turns = _turns(points, gaps)
    if turns is None:
        return rounded(points)
    x, y = points[0]
    steps: list[tuple[float, ...]] = [points[0]]
    for (top, bottom), to_x in turns.items():
        if top > y:
            steps.append((x, top))
        middle = (top + bottom) / 2
        steps.append((x, middle, to_x, middle, to_x, bottom))
        x, y = to_x, bottom
    if points[-1][1] > y:
        steps.append(points[-1])
    return tuple(steps)


def _turns(points: Sequence[Point], gaps: Sequence[Point]) -> dict[Point, float] | None:
    """For each gap in which a route runs sideways, where it leaves the gap; None if it does so
    elsewhere, or goes up."""
    bottoms = [bottom for _, bottom in gaps]
    turns: dict[Point, float] = {}
    for (x, y), (to_x, to_y) in pairwise(points):
        if to_y < y:
            return None
        if x == to_x:
            continue
        at = bisect_left(bottoms, y)
        if y != to_y or at == len(gaps) or y < gaps[at][0]:
            return None
        turns[gaps[at]] = to_x
    return turns


def written(path: Path) -> str:
    """The path as SVG writes it."""
    letters = {2: "L", 4: "Q", 6: "C"}
    parts = []
    for at, step in enumerate(path):
        parts.append(("M" if at == 0 else letters[len(step)]) + " ".join(map(number, step)))
    return "".join(parts)


def length_px(path: Path) -> float:
    """About how long the path is: it runs along its sides, not across."""
    ends = [step[-2:] for step in path]
    return sum(abs(x - to_x) + abs(y - to_y) for (x, y), (to_x, to_y) in pairwise(ends))


def number(value: float) -> str:
    """A length in the fewest characters, to a tenth of a pixel."""
    text = f"{value:.1f}"
    text = text.removesuffix(".0")
    return "0" if text == "-0" else text


def _without_repeats(points: Sequence[Point]) -> list[Point]:
    kept = [points[0]]
    for point in points[1:]:
        if point != kept[-1]:
            kept.append(point)
    return kept


def _length(start: Point, end: Point) -> float:
    return abs(end[0] - start[0]) + abs(end[1] - start[1])


def _towards(start: Point, end: Point, reach: float) -> Point:
    share = reach / _length(start, end)
    return (start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)
