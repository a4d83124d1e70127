"""Places blocks in layers with graphlay: what is wanted first, what it needs after it.

Graphlay's cost, measured with 0.3: its last adjustment of ports grows with the fourth power of
a block's lines (400 of them: 21 s), so it is off; the rest grows with the layers that lines
pass through, which `disentangles` works out beforehand.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from headway.pictures.layers import LANE_GAP, LAYER_GAP, NODE_GAP, Shape
from headway.pictures.paths import Placed, Point, curved, rounded, turned

_WIDER_GAP = 74.0  # px between layers that go to the right: lines have more to climb
_INSET = 10.0  # px between a box's corner and the nearest line
_SLACK = 1.5  # px by which graphlay's runs may be out of plumb
_STUB = 14.0  # px that a line which was moved along a border still runs straight

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


def place_layered(
    needs: Sequence[Sequence[int]],
    sizes: Sequence[Point],
    shape: Shape,
    *,
    across: bool,
    wrapped: bool,
) -> Placed:
    """Lays out blocks of the given sizes: layers go down, or to the right if `across`.

    `wrapped` breaks a long drawing into columns.
    """
    if across:
        turned_sizes = [(height, width) for width, height in sizes]
        placed = _placed(needs, turned_sizes, _options(shape, layer_gap=_WIDER_GAP))
        corners = tuple((y, x) for x, y in placed.corners)
        return Placed(corners, tuple(turned(path) for path in placed.paths))
    return _placed(needs, sizes, _options(shape, wrapped=wrapped))


def _placed(
    needs: Sequence[Sequence[int]], sizes: Sequence[Point], options: dict[str, Any]
) -> Placed:
    """Lays out blocks in layers that go down."""
    import graphlay

    layout = graphlay.layout(_request(needs, sizes), options=options)
    corners: list[Point] = []
    bands: dict[int, Point] = {}
    for node, (width, height) in zip(layout.nodes, sizes, strict=True):
        center, rank = node["center"], node["rank"]
        left, top = center["x"] - width / 2, center["y"] - height / 2
        corners.append((left, top))
        if rank is not None:  # None is joined to nothing and stands apart from all layers
            highest, lowest = bands.get(rank, (top, top + height))
            bands[rank] = (min(highest, top), max(lowest, top + height))
    gaps = _gaps([bands[rank] for rank in sorted(bands)])
    ends = ((block, other) for block, needed in enumerate(needs) for other in needed)
    paths = []
    for edge, (block, other) in zip(layout.edges, ends, strict=True):
        route = _squared([(point["x"], point["y"]) for point in edge["points"]])
        route = _landed(route, corners[other][1], corners[other][0], sizes[other][0])
        bottom = corners[block][1] + sizes[block][1]
        route = _landed(route[::-1], bottom, corners[block][0], sizes[block][0])[::-1]
        paths.append(rounded(route) if "wrap" in options else curved(route, gaps))
    return Placed(tuple(corners), tuple(paths))


def _options(
    shape: Shape, *, wrapped: bool = False, layer_gap: float = LAYER_GAP
) -> dict[str, Any]:
    options: dict[str, Any] = {
        "effort": "fast",
        "direction": "topbottom",
        "spacing": {
            "layer_gap": layer_gap,
            "node_gap": NODE_GAP,
            "dummy_gap": LANE_GAP,
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
    return options


def _squared(points: list[Point]) -> list[Point]:
    """The route with runs that are upright or level but for a pixel made exactly so."""
    route = points[:1]
    for x, y in points[1:]:
        before_x, before_y = route[-1]
        if abs(x - before_x) < _SLACK:
            route.append((before_x, y))
        elif abs(y - before_y) < _SLACK:
            route.append((x, before_y))
        else:
            route.append((x, y))
    return route


def _landed(route: list[Point], border: float, left: float, width: float) -> list[Point]:
    """The route with its end on the border, and moved along it to where a rounded box has one.

    With more lines than fit beside one another, graphlay lets some end at the very corner.
    """
    inset = min(_INSET, width / 4)
    x, y = route[-1]
    landed = min(max(x, left + inset), left + width - inset)
    if landed == x:
        return [*route[:-1], (x, border)]
    before_y = route[-2][1]
    if len(route) > 2 and abs(before_y - border) <= _STUB:  # the whole run fits in beside it
        return [*route[:-2], (landed, before_y), (landed, border)]
    turn = border + (_STUB if before_y > y else -_STUB)
    return [*route[:-1], (x, turn), (landed, turn), (landed, border)]


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
