"""A picture as values: boxes, panels, lines and a legend, each with its place in pixels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from headway.jobs.states import JobState, Verdict
from headway.pictures.boxes import Block, blocks_of
from headway.pictures.faces import BADGE, Face, Grid, face_of
from headway.pictures.graph import Graph
from headway.pictures.labels import clipped, lines_of, shown, width_px
from headway.pictures.looks import EDGE, EDGE_TROUBLE, TROUBLE
from headway.pictures.paths import Path, Placed, Point
from headway.pictures.placing import manner_of, place

TITLE_PX, LEGEND_PX = 19.0, 12.5  # sizes of type
TITLE_LINE = 26.0  # px from one line to the next
MARGIN = 28.0
_LEGEND_LINE, _LEGEND_GAP = 26.0, 22.0
_NARROWEST = 420.0
_LARGE = 2400.0  # px; larger pictures have a larger heading, to be read when they are shrunk
_NAMED = 40  # members of a box with a count that its tooltip names


@dataclass(frozen=True, slots=True)
class Box:
    """One node, or several of one state."""

    keys: tuple[int, ...]
    state: JobState | Verdict
    name: tuple[str, ...]  # lines
    detail: tuple[str, ...]  # lines below the name; the first begins with the state's word
    tooltip: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Panel:
    """The frame around sibling boxes, which share their lines."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Line:
    """From what needs (the first of the path) to what is needed (its last point)."""

    needing: tuple[int, ...]  # nodes
    needed: tuple[int, ...]
    path: Path
    color: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One state in the legend."""

    state: JobState | Verdict
    count: int
    x: float
    y: float  # middle of the line


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything a picture shows; no two boxes overlap."""

    width: float
    height: float
    title: tuple[str, ...]  # lines
    summary: str  # in words, for those who do not see it
    boxes: tuple[Box, ...]
    panels: tuple[Panel, ...]
    lines: tuple[Line, ...]
    legend: tuple[Entry, ...]
    needs_at: Point | None  # where the legend explains the arrow; None without lines
    origin: Point  # where the coordinates of boxes, panels and lines begin
    heading: float = 1.0  # by how much title and legend are enlarged
    remark: str = ""  # stands in the lower margin


def drawing_of(graph: Graph, *, full: bool) -> Drawing:
    """Lays out a graph. Same graph, same drawing."""
    blocks = blocks_of(graph, full=full)
    faces = [[face_of(graph, keys) for keys in block.boxes] for block in blocks]
    grids, placed = _placed(blocks, faces)
    boxes, panels = [], []
    for block, block_faces, grid, corner in zip(blocks, faces, grids, placed.corners, strict=True):
        if len(block_faces) > 1:
            panels.append(Panel(*corner, *grid.size))
        for at, (keys, face) in enumerate(zip(block.boxes, block_faces, strict=True)):
            boxes.append(_box(graph, keys, face, grid.corner(at, corner), grid.box))
    lines = _lines(graph, blocks, placed)
    return _framed(graph, boxes, panels, lines, placed)


def _placed(blocks: Sequence[Block], faces: Sequence[Sequence[Face]]) -> tuple[list[Grid], Placed]:
    if not blocks:
        return [], Placed((), ())
    needs = [block.needs for block in blocks]
    grids = [Grid.of(block_faces) for block_faces in faces]
    manner = manner_of(needs, [grid.size for grid in grids])
    if manner.even:
        widest = max((grid.box[0] for grid in grids if not grid.pad), default=0.0)
        grids = [grid if grid.pad else grid.widened(widest) for grid in grids]
    return grids, place(manner, needs, [grid.size for grid in grids])


def _box(graph: Graph, keys: tuple[int, ...], face: Face, corner: Point, size: Point) -> Box:
    state = graph.states[keys[0]]
    if len(keys) == 1:
        note = shown(graph.note(keys[0]))
        tooltip = "\n".join(filter(None, [shown(graph.names[keys[0]]), str(state), note]))
    else:
        members = [clipped(shown(graph.names[key]), 60) for key in keys[:_NAMED]]
        more = [f"and {len(keys) - _NAMED:,} more"] if len(keys) > _NAMED else []
        tooltip = "\n".join([f"{len(keys):,} jobs, {state}", *members, *more])
    return Box(keys, state, face.name, face.detail, tooltip, *corner, *size)


def _lines(graph: Graph, blocks: Sequence[Block], placed: Placed) -> list[Line]:
    nodes = [tuple(key for box in block.boxes for key in box) for block in blocks]
    troubled = [any(graph.states[key] in TROUBLE for key in keys) for keys in nodes]
    blocked = [any(graph.states[key] is JobState.BLOCKED for key in keys) for keys in nodes]
    ends = [(at, other) for at, block in enumerate(blocks) for other in block.needs]
    return [
        Line(
            nodes[needing],
            nodes[needed],
            path,
            EDGE_TROUBLE if blocked[needing] and troubled[needed] else EDGE,
        )
        for (needing, needed), path in zip(ends, placed.paths, strict=True)
    ]


def _framed(
    graph: Graph, boxes: list[Box], panels: list[Panel], lines: list[Line], placed: Placed
) -> Drawing:
    """The picture around what was placed: title and legend above it, a margin about it."""
    left, top, right, bottom = _extent([*boxes, *panels], placed.paths)
    inner = max(_NARROWEST, right - left)
    heading = max(1.0, min(inner, ((right - left) * (bottom - top)) ** 0.5) / _LARGE)
    room = inner / heading
    title = lines_of(shown(graph.title), TITLE_PX, room, 2) if graph.title else ()
    y = MARGIN + len(title) * TITLE_LINE + (8 if title else 0)
    counts = Counter(graph.states)
    states = [state for state in (*JobState, *Verdict) if state in counts]
    texts = [f"{state} {counts[state]:,}" for state in states] + ["needs"] * bool(lines)
    spots, y = _flow([width_px(text, LEGEND_PX) + BADGE for text in texts], room, y)
    legend = [
        Entry(state, counts[state], *spot) for state, spot in zip(states, spots, strict=False)
    ]
    origin = (MARGIN - left + (inner - (right - left)) / 2, y * heading - top)
    return Drawing(
        width=float(round(inner + 2 * MARGIN)),
        height=float(round(y * heading + bottom - top + MARGIN * heading)),
        title=title,
        summary=_summary(graph, legend),
        boxes=tuple(boxes),
        panels=tuple(panels),
        lines=tuple(lines),
        legend=tuple(legend),
        needs_at=spots[-1] if lines else None,
        origin=origin,
        heading=heading,
    )


def _extent(
    frames: Sequence[Box | Panel], paths: Sequence[Path]
) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what was placed; controls of curves lie within as well."""
    if not frames:
        return 0.0, 0.0, 0.0, 0.0
    ends = [step[-2:] for path in paths for step in path]
    return (
        min(chain((frame.x for frame in frames), (x for x, _ in ends))),
        min(chain((frame.y for frame in frames), (y for _, y in ends))),
        max(chain((frame.x + frame.width for frame in frames), (x for x, _ in ends))),
        max(chain((frame.y + frame.height for frame in frames), (y for _, y in ends))),
    )


def _flow(widths: Sequence[float], inner: float, y: float) -> tuple[list[Point], float]:
    """Spots of legend entries from left to right, line by line; then where the rest begins."""
    if not widths:
        return [], y
    spots, x = [], MARGIN
    for width in widths:
        if x > MARGIN and x + width > MARGIN + inner:
            x, y = MARGIN, y + _LEGEND_LINE
        spots.append((x, y + _LEGEND_LINE / 2))
        x += width + _LEGEND_GAP
    return spots, y + _LEGEND_LINE + 20


def _summary(graph: Graph, legend: Sequence[Entry]) -> str:
    title = f"{shown(graph.title)}: " if graph.title else ""
    states = ", ".join(f"{entry.count:,} {entry.state}" for entry in legend)
    jobs = "1 job" if len(graph.names) == 1 else f"{len(graph.names):,} jobs"
    return f"{title}{jobs}" + (f": {states}" if states else "")
