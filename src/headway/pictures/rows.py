"""Places blocks in plain rows: for graphs whose weave of lines is too dense to disentangle.

Layers are cut into rows of bearable width. A line to the next row goes there directly. Every
other line leaves its row sideways, follows a lane on the left that belongs to what is needed,
and comes back in above it, as wires run in a bus: lines to one block share its lane, and none
crosses a box. Linear but for sorting.
"""

import heapq
from collections.abc import Sequence

from headway.pictures.layers import LAYER_GAP, NODE_GAP, layers_of
from headway.pictures.paths import Path, Placed, Point, curved, rounded

_LANE = 7.0  # px between lanes


def place_rows(needs: Sequence[Sequence[int]], sizes: Sequence[Point]) -> Placed:
    """Lays out blocks of the given sizes, what is wanted first on top."""
    rows = _rows(needs, sizes)
    row_of = {block: at for at, row in enumerate(rows) for block in row}
    lanes = _lanes(needs, row_of)
    corners, gaps = _corners(rows, sizes)
    left = min(x for x, _ in corners) - NODE_GAP
    paths: list[Path] = []
    for block, needed in enumerate(needs):
        for other in needed:
            start = (corners[block][0] + sizes[block][0] / 2, corners[block][1] + sizes[block][1])
            end = (corners[other][0] + sizes[other][0] / 2, corners[other][1])
            above, below = gaps[row_of[block]], gaps[row_of[other] - 1]
            if row_of[other] == row_of[block] + 1:
                middle = (above[0] + above[1]) / 2
                route = [start, (start[0], middle), (end[0], middle), end]
                paths.append(curved(route, [above]))
                continue
            lane = lanes[other]
            x = left - lane * _LANE
            out, back = _level(above, lane), _level(below, lane)
            paths.append(
                rounded([start, (start[0], out), (x, out), (x, back), (end[0], back), end])
            )
    return Placed(tuple(corners), tuple(paths))


def _rows(needs: Sequence[Sequence[int]], sizes: Sequence[Point]) -> list[list[int]]:
    """The blocks of each row, ordered so that lines between neighbouring rows run short."""
    layers: list[list[int]] = [[] for _ in range(len(needs))]
    for block, number in enumerate(layers_of(needs)):
        layers[number].append(block)
    area = sum((width + NODE_GAP) * (height + LAYER_GAP) for width, height in sizes)
    widest = max(1600.0, (1.6 * area) ** 0.5)
    pulls: list[list[float]] = [[] for _ in needs]
    rows: list[list[int]] = []
    for layer in filter(None, layers):
        pull = {block: sum(pulls[block]) / max(1, len(pulls[block])) for block in layer}
        layer.sort(key=lambda block: (pull[block], block))
        for row in _cut(layer, sizes, widest):
            rows.append(row)
            for at, block in enumerate(row):
                for other in needs[block]:
                    pulls[other].append((at + 0.5) / len(row))
    return rows


def _cut(layer: Sequence[int], sizes: Sequence[Point], widest: float) -> list[list[int]]:
    rows: list[list[int]] = [[]]
    room = widest
    for block in layer:
        width = sizes[block][0] + NODE_GAP
        if width > room and rows[-1]:
            rows.append([])
            room = widest
        rows[-1].append(block)
        room -= width
    return rows


def _lanes(needs: Sequence[Sequence[int]], row_of: dict[int, int]) -> dict[int, int]:
    """A lane for each block that lines reach over more than one row, reused once it is free."""
    starts: dict[int, int] = {}
    for block, needed in enumerate(needs):
        for other in needed:
            if row_of[other] > row_of[block] + 1:
                starts[other] = min(starts.get(other, row_of[block]), row_of[block])
    lanes: dict[int, int] = {}
    free: list[int] = []
    taken: list[tuple[int, int]] = []  # (row where the lane ends, lane)
    for other in sorted(starts, key=lambda block: (starts[block], row_of[block], block)):
        while taken and taken[0][0] <= starts[other]:
            heapq.heappush(free, heapq.heappop(taken)[1])
        lanes[other] = heapq.heappop(free) if free else len(taken)
        heapq.heappush(taken, (row_of[other], lanes[other]))
    return lanes


def _corners(
    rows: Sequence[Sequence[int]], sizes: Sequence[Point]
) -> tuple[list[Point], list[Point]]:
    """Upper left corners of all blocks, each row centred on 0, and the gap below each row."""
    corners: list[Point] = [(0.0, 0.0)] * len(sizes)
    gaps: list[Point] = []
    top = 0.0
    for row in rows:
        height = max(sizes[block][1] for block in row)
        x = -(sum(sizes[block][0] + NODE_GAP for block in row) - NODE_GAP) / 2
        for block in row:
            corners[block] = (x, top + (height - sizes[block][1]) / 2)
            x += sizes[block][0] + NODE_GAP
        gaps.append((top + height, top + height + LAYER_GAP))
        top += height + LAYER_GAP
    return corners, gaps


def _level(gap: Point, lane: int) -> float:
    """Where in a gap the lines of a lane run sideways: lanes spread over the middle half."""
    return gap[0] + (gap[1] - gap[0]) * (0.3 + 0.4 * (lane * 0.618 % 1))
