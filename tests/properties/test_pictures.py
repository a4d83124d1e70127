"""Pictures of any graph: complete, tidy, and the same every time."""

import re
from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from headway.jobs.states import JobState, Verdict
from headway.pictures import Graph, dot, mermaid, svg, text
from headway.pictures.boxes import blocks_of
from headway.pictures.drawing import Box, Drawing, Panel, drawing_of
from headway.pictures.labels import columns
from headway.pictures.layers import layers_of
from headway.pictures.paths import Path, Point
from headway.pictures.rows import place_rows

SVG = "{http://www.w3.org/2000/svg}"
any_text = st.text(st.characters(), max_size=60)


@st.composite
def graphs(draw: st.DrawFn, most: int = 40) -> Graph:
    count = draw(st.integers(0, most))
    needs = [
        draw(st.lists(st.integers(0, key - 1), max_size=4, unique=True)) if key else []
        for key in range(count)
    ]
    kind: list[JobState | Verdict] = draw(st.sampled_from([list(JobState), list(Verdict)]))
    several = st.lists(any_text, min_size=count, max_size=count)
    states = st.lists(st.sampled_from(kind), min_size=count, max_size=count)
    notes = draw(st.none() | several)
    return Graph(draw(several), needs, draw(states), notes, draw(any_text))


def plain(graph: Graph) -> Graph:
    """The same graph with short names."""
    names = [f"job {key}" for key in range(len(graph.names))]
    return Graph(names, graph.needs, graph.states)


def frame(drawing: Drawing, keys: tuple[int, ...]) -> Box | Panel:
    """What stands for these nodes in the drawing: their box, or the panel around their boxes."""
    boxes = [box for box in drawing.boxes if set(box.keys) <= set(keys)]
    if len(boxes) == 1:
        return boxes[0]
    (panel,) = (panel for panel in drawing.panels if inside(panel, (boxes[0].x, boxes[0].y), 0.0))
    return panel


def inside(shape: Box | Panel, point: Point, margin: float) -> bool:
    x, y = point
    return (
        shape.x + margin < x < shape.x + shape.width - margin
        and shape.y + margin < y < shape.y + shape.height - margin
    )


def touches(shape: Box | Panel, point: tuple[float, ...]) -> bool:
    """Whether the point lies on the shape's border, to half a pixel."""
    x, y = point
    return inside(shape, (x, y), -0.5) and not inside(shape, (x, y), 0.5)


def points(path: Path) -> list[Point]:
    """Points along a path, close enough to find a box it crosses."""
    found: list[Point] = []
    at = path[0]
    for step in path[1:]:
        corners = [at, *zip(step[::2], step[1::2], strict=True)]
        found += [along(corners, part / 8) for part in range(9)]
        at = step[-2:]
    return found


def along(corners: list[tuple[float, ...]], share: float) -> Point:
    """A point of a straight line or a curve, by halving between its controls."""
    while len(corners) > 1:
        corners = [
            (x + (to_x - x) * share, y + (to_y - y) * share)
            for (x, y), (to_x, to_y) in pairwise(corners)
        ]
    return corners[0][0], corners[0][1]


def assert_tidy(drawing: Drawing) -> None:
    for at, one in enumerate(drawing.boxes):
        for other in drawing.boxes[:at]:
            apart = (
                one.x + one.width <= other.x
                or other.x + other.width <= one.x
                or one.y + one.height <= other.y
                or other.y + other.height <= one.y
            )
            assert apart, (one, other)
    for line in drawing.lines:
        assert touches(frame(drawing, line.needing), line.path[0])
        assert touches(frame(drawing, line.needed), line.path[-1][-2:])
        for point in points(line.path):
            assert not any(inside(box, point, 1.5) for box in drawing.boxes), line


@given(graphs())
@settings(deadline=None, max_examples=60)
def test_every_svg_is_valid_and_names_every_node(graph: Graph) -> None:
    markup = svg(graph)
    root = ElementTree.fromstring(markup.encode("utf-8"))
    tooltips = list(root.iter(SVG + "title"))
    assert len(tooltips) == len(graph.names) + 1


@given(graphs(most=40))
@settings(deadline=None, max_examples=60)
def test_boxes_never_overlap_and_lines_join_what_they_should(graph: Graph) -> None:
    drawing = drawing_of(plain(graph), full=False)
    assert_tidy(drawing)
    joined = {
        (needing, needed)
        for line in drawing.lines
        for needing in line.needing
        for needed in line.needed
    }
    assert joined == {(key, other) for key, needed in enumerate(graph.needs) for other in needed}


@given(graphs(most=40))
@settings(deadline=None, max_examples=60)
def test_no_line_turns_back_on_its_way(graph: Graph) -> None:
    lines = drawing_of(plain(graph), full=True).lines
    downwards, rightwards = (
        all(
            before[axis - 2] <= after[axis - 2] + 0.01
            for line in lines
            for before, after in pairwise(line.path)
        )
        for axis in (1, 0)
    )
    assert downwards or rightwards


@given(graphs(most=40))
@settings(deadline=None, max_examples=50)
def test_everything_lies_within_the_picture(graph: Graph) -> None:
    drawing = drawing_of(graph, full=False)
    left, top = drawing.origin
    for box in drawing.boxes:
        assert 0 <= box.x + left <= box.x + left + box.width <= drawing.width
        assert 0 <= box.y + top <= box.y + top + box.height <= drawing.height
    for line in drawing.lines:
        for x, y in points(line.path):
            assert 0 <= x + left <= drawing.width
            assert 0 <= y + top <= drawing.height


@given(graphs(most=40))
@settings(deadline=None, max_examples=50)
def test_plain_rows_are_as_tidy(graph: Graph) -> None:
    blocks = blocks_of(plain(graph), full=False)
    if not blocks:
        return
    sizes = [(80.0 + 7 * (at % 5), 40.0 + 9 * (at % 3)) for at in range(len(blocks))]
    placed = place_rows([block.needs for block in blocks], sizes)
    frames = [Panel(*corner, *size) for corner, size in zip(placed.corners, sizes, strict=True)]
    ends = [(at, other) for at, block in enumerate(blocks) for other in block.needs]
    for (needing, needed), path in zip(ends, placed.paths, strict=True):
        assert touches(frames[needing], path[0])
        assert touches(frames[needed], path[-1][-2:])
        for point in points(path):
            assert not any(inside(other, point, 1.0) for other in frames)


@given(graphs())
@settings(deadline=None, max_examples=50)
def test_a_layer_lies_below_all_that_need_it(graph: Graph) -> None:
    layers = layers_of(graph.needs)
    for key, needed in enumerate(graph.needs):
        assert all(layers[other] > layers[key] for other in needed)


@given(graphs())
@settings(deadline=None, max_examples=50)
def test_the_same_graph_gives_the_same_picture(graph: Graph) -> None:
    again = Graph(
        list(graph.names),
        [list(needed) for needed in graph.needs],
        list(graph.states),
        graph.notes,
        graph.title,
    )
    for picture in (svg, dot, mermaid, text):
        assert picture(graph) == picture(again)


@given(graphs(most=30), st.integers(1, 140), st.booleans())
@settings(deadline=None, max_examples=100)
def test_text_never_outgrows_its_width(graph: Graph, width: int, color: bool) -> None:
    for line in text(graph, width=width, color=color).split("\n"):
        assert columns(re.sub(r"\x1b\[[\d;]*m", "", line)) <= width


@given(graphs())
@settings(deadline=None, max_examples=50)
def test_mermaid_and_dot_hold_every_node(graph: Graph) -> None:
    assert len(re.findall(r'^  n\d+\["[^"]*"\]:::\w+$', mermaid(graph), re.MULTILINE)) == len(
        graph.names
    )
    assert len(re.findall(r"^  n\d+ \[label=", dot(graph), re.MULTILINE)) == len(graph.names)
    mermaid(graph).encode("utf-8")
    dot(graph).encode("utf-8")
