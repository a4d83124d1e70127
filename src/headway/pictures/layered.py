"""Places blocks in layers with graphlay: what is wanted first, what it needs after it.

Graphlay's cost, measured with 0.3: its last adjustment of ports grows with the fourth power of
a block's lines (400 of them: 21 s), so it is off; the rest grows with the layers that lines
pass through, which `disentangles` works out beforehand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from headway.pictures.paths import Path, Point, curved, rounded, turned

NODE_GAP = 26.0  # px between neighbours in a layer
LAYER_GAP = 58.0  # px between layers
_WIDER_GAP = 74.0  # the same where layers go to the right: lines have more to climb
_LANE_GAP = 12.0  # px a line takes that passes through a layer

_ROUTING = {"port_relax_rounds": 0, "overlap_repair_rounds": 0}
_CAREFUL: dict[str, Any] = {"tuning": {"routing": _ROUTING}}
_QUICK: dict[str, Any] = {
    "coords": {"branch_bands": False, "branch_style": "free"},
    "tuning": {
        "routing": _ROUTING,
        "order": {
            "seeds": 1,
            "sweeps": 4,
            "sifting_rounds": 0,
            "kick_rounds": 0,
            "chain_lane_rounds": 0,
            "balance_rounds": 0,
        },
        "coords": {
            "branch_rounds": 0,
            "snap_rounds": 0,
            "flatten_room": 0,
            "main_path_room": 0,
            "balance_width_slack": 0,
        },
    },
}
_WRAPPED = {"max_rows": 100, "min_gain": 1.1, "max_cut_edges": 8}


@dataclass(frozen=True, slots=True)
class Placed:
    """Where blocks and lines are, in pixels; paths come in the order of blocks and their needs."""

    corners: tuple[Point, ...]  # upper left
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """What can be told of a drawing before it is made."""

    needs: int
    passed: int  # layers that lines pass through, added up
    down: Point  # width and height in px if layers go down
    across: Point  # the same if they go to the right


def shape_of(needs: Sequence[Sequence[int]], sizes: Sequence[Point]) -> Shape:
    """Estimates a drawing from longest paths. Linear in blocks and needs."""
    layers = layers_of(needs)
    count = max(layers) + 2
    widths, heights = [0.0] * count, [0.0] * count
    thickest, tallest = [0.0] * count, [0.0] * count
    for layer, (width, height) in zip(layers, sizes, strict=True):
        widths[layer] += width + NODE_GAP
        heights[layer] += height + NODE_GAP
        thickest[layer] = max(thickest[layer], width + LAYER_GAP)
        tallest[layer] = max(tallest[layer], height + LAYER_GAP)
    passing, total = [0] * (count + 1), 0
    for block, needed in enumerate(needs):
        for other in needed:
            total += layers[other] - layers[block] - 1
            passing[layers[block] + 1] += 1
            passing[layers[other]] -= 1
    lanes = 0.0
    for layer in range(count):
        passing[layer] += passing[layer - 1] if layer else 0
        lanes = passing[layer] * _LANE_GAP
        widths[layer] += lanes
        heights[layer] += lanes
    return Shape(
        needs=sum(map(len, needs)),
        passed=total,
        down=(max(widths), sum(tallest)),
        across=(sum(thickest), max(heights)),
    )


def layers_of(needs: Sequence[Sequence[int]]) -> list[int]:
    """For each block its layer, 0 on top.

    As far down as its longest chain of dependents asks; further down, right above what it
    needs, if that shortens more lines than it lengthens.
    """
    layers, dependents = [0] * len(needs), [0] * len(needs)
    for block in range(len(needs) - 1, -1, -1):
        for other in needs[block]:
            layers[other] = max(layers[other], layers[block] + 1)
            dependents[other] += 1
    for block, needed in enumerate(needs):
        if len(needed) > dependents[block]:
            layers[block] = min(layers[other] for other in needed) - 1
    return layers


def disentangles(shape: Shape, blocks: int) -> bool:
    """Whether layers show the graph well, within the time a reader waits.

    Where many more lines pass by than blocks stand, layers become a picture of lines.
    """
    return shape.passed <= 4 * blocks and shape.needs <= 12_000


def place_layered(
    needs: Sequence[Sequence[int]],
    sizes: Sequence[Point],
    shape: Shape,
    *,
    across: bool,
    wrapped: bool,
) -> Placed:
    """Lays out blocks of the given sizes. `wrapped` breaks a long drawing into columns."""
    import graphlay

    options: dict[str, Any] = {
        "effort": "fast",
        "direction": "leftright" if across else "topbottom",
        "spacing": {
            "layer_gap": _WIDER_GAP if across else LAYER_GAP,
            "node_gap": NODE_GAP,
            "dummy_gap": _LANE_GAP,
            "isolated_gap": NODE_GAP,
            "port_gap": 14.0,
        },
        # Curves need no tracks of their own to run sideways; where corners stay, lines do.
        "routing": {"port_sides": "facing_only", "lane_gap": 8.0 if wrapped else 1.0},
        **(_CAREFUL if shape.needs + shape.passed <= 600 else _QUICK),
    }
    if wrapped:
        options["wrap"] = {"viewport_aspect": 1.5}
        options["tuning"] = options["tuning"] | {"wrap": _WRAPPED}
    layout = graphlay.layout(_request(needs, sizes), options=options)
    corners: list[Point] = []
    bands: dict[int, Point] = {}
    for node, (width, height) in zip(layout.nodes, sizes, strict=True):
        center, rank = node["center"], node["rank"]
        corners.append((center["x"] - width / 2, center["y"] - height / 2))
        if rank is None:  # joined to nothing: stands apart from all layers
            continue
        start, end = (center["x"], width) if across else (center["y"], height)
        top, bottom = bands.get(rank, (start, start))
        bands[rank] = (min(top, start - end / 2), max(bottom, start + end / 2))
    gaps = _gaps([bands[rank] for rank in sorted(bands)])
    paths = []
    for edge in layout.edges:
        points = [(point["x"], point["y"]) for point in edge["points"]]
        if wrapped:
            paths.append(rounded(points))
        elif across:
            paths.append(turned(curved([(y, x) for x, y in points], gaps)))
        else:
            paths.append(curved(points, gaps))
    return Placed(tuple(corners), tuple(paths))


def _request(needs: Sequence[Sequence[int]], sizes: Sequence[Point]) -> dict[str, Any]:
    return {
        "nodes": [
            {"size": {"width": width, "height": height}, "shape": "box", "key": str(block)}
            for block, (width, height) in enumerate(sizes)
        ],
        "edges": [
            {"source": block, "target": other, "weight": 1.0}
            for block, needed in enumerate(needs)
            for other in needed
        ],
    }


def _gaps(bands: Sequence[Point]) -> list[Point]:
    """The free space between neighbouring layers."""
    return [(above[1], below[0]) for above, below in pairwise(bands) if above[1] < below[0]]
