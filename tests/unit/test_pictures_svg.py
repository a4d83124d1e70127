"""The SVG is valid, complete and self-contained."""

import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from headway.jobs.states import JobState, Verdict
from headway.pictures import Graph, svg
from headway.pictures.drawing import drawing_of
from headway.pictures.looks import EDGE, EDGE_TROUBLE

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<b>&\"' ]]> \x00\x1b[31m \ud800 \ufffe \u202e 部署 %s {0} \\"


def elements(markup: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(markup.encode()).iter(SVG + tag))


def words(markup: str) -> str:
    root = ElementTree.fromstring(markup.encode())
    return "\n".join("".join(text.itertext()) for text in root.iter(SVG + "text"))


def chain(length: int) -> Graph:
    needs = [[key - 1] if key else [] for key in range(length)]
    return Graph([f"job {key}" for key in range(length)], needs, [JobState.PASSED] * length)


def test_every_node_shows_its_name_its_state_and_its_note() -> None:
    graph = Graph(
        ["Pizza", "Watch movie"],
        [[], [0]],
        [JobState.WAITING, JobState.PENDING],
        ["try 2 of 3", ""],
        "Movie night",
    )
    shown = words(svg(graph))
    for text in ("Movie night", "Pizza", "waiting · try 2 of 3", "Watch movie", "pending"):
        assert text in shown
    tooltips = [title.text for title in elements(svg(graph), "title")]
    assert "Pizza\nwaiting\ntry 2 of 3" in tooltips
    assert "Watch movie\npending" in tooltips


def test_the_picture_describes_itself_to_those_who_do_not_see_it() -> None:
    states = [JobState.FAILED, JobState.FAILED, JobState.BLOCKED]
    graph = Graph(["a", "b", "c"], [[], [], [0, 1]], states, title="Release <4>")
    root = ElementTree.fromstring(svg(graph).encode())
    assert root.get("role") == "img"
    assert root.get("aria-label") == "Release <4>: 3 jobs: 2 failed, 1 blocked"


def test_hostile_names_neither_break_the_file_nor_vanish() -> None:
    graph = Graph([HOSTILE, "root"], [[], [0]], [JobState.PASSED] * 2, [HOSTILE] * 2, HOSTILE)
    markup = svg(graph)
    markup.encode("utf-8")
    tooltips = [title.text or "" for title in elements(markup, "title")]
    assert any("<b>&\"' ]]> \\x00\\x1b[31m \\ud800 \\ufffe \\u202e 部署" in tip for tip in tooltips)


def test_nothing_is_fetched_and_nothing_is_executed() -> None:
    markup = svg(chain(5))
    assert not re.search(r"<(script|style|image|use|foreignObject|a)\b", markup)
    assert "href" not in markup
    assert re.findall(r"https?://[^\"]*", markup) == ["http://www.w3.org/2000/svg"]


def test_the_background_is_drawn_so_that_dark_pages_do_not_shine_through() -> None:
    first = elements(svg(chain(2)), "rect")[0]
    root = ElementTree.fromstring(svg(chain(2)).encode())
    assert (first.get("width"), first.get("height")) == (root.get("width"), root.get("height"))
    assert first.get("fill") == "#ffffff"


def test_the_legend_holds_the_states_that_occur_and_no_others() -> None:
    graph = Graph(["a", "b", "c"], [[], [], []], [Verdict.DONE, Verdict.DONE, Verdict.UNKNOWN])
    drawing = drawing_of(graph, full=False)
    assert [(entry.state, entry.count) for entry in drawing.legend] == [
        (Verdict.DONE, 2),
        (Verdict.UNKNOWN, 1),
    ]


def test_a_star_of_siblings_shares_one_line() -> None:
    leaves = 250
    needs = [*([] for _ in range(leaves)), list(range(leaves))]
    graph = Graph(
        [f"leaf {key}" for key in range(leaves)] + ["root"], needs, [JobState.PENDING] * 251
    )
    drawing = drawing_of(graph, full=False)
    assert len(drawing.boxes) == 251
    assert len(drawing.panels) == 1
    assert [(line.needing, line.needed) for line in drawing.lines] == [
        ((250,), tuple(range(leaves)))
    ]


def test_a_large_star_becomes_boxes_with_counts_that_add_up() -> None:
    needs = [*([] for _ in range(999)), list(range(999))]
    states = [JobState.FAILED if key % 10 == 0 else JobState.PASSED for key in range(1000)]
    graph = Graph([f"job {key}" for key in range(1000)], needs, states)
    shown = words(svg(graph))
    assert "and 99 more" in shown
    assert "and 898 more" in shown
    assert sum(len(box.keys) for box in drawing_of(graph, full=False).boxes) == 1000
    assert len(drawing_of(graph, full=True).boxes) == 1000


def test_what_blocks_a_job_is_joined_to_it_by_a_line_in_the_colour_of_trouble() -> None:
    graph = Graph(
        ["failed", "fine", "blocked"],
        [[], [], [0, 1]],
        [JobState.FAILED, JobState.PASSED, JobState.BLOCKED],
    )
    colors = {line.needed: line.color for line in drawing_of(graph, full=False).lines}
    assert colors == {(0,): EDGE_TROUBLE, (1,): EDGE}


def test_a_chain_deeper_than_any_recursion_is_drawn() -> None:
    assert svg(chain(3_000)).count("<title>") == 3_001


def test_a_long_chain_is_broken_into_columns() -> None:
    drawing = drawing_of(chain(120), full=False)
    assert drawing.height < 3 * drawing.width


def test_a_dense_graph_is_drawn_in_rows_without_touching_boxes() -> None:
    size = 120
    needs = [list(range(max(0, key - 40), key, 5)) for key in range(size)]
    graph = Graph([f"job {key}" for key in range(size)], needs, [JobState.PENDING] * size)
    drawing = drawing_of(graph, full=False)
    assert len(drawing.boxes) == size
    assert len(drawing.lines) == sum(map(len, needs))


@pytest.mark.parametrize("title", ["", "Nothing to do"])
def test_a_graph_without_nodes_is_still_a_picture(title: str) -> None:
    markup = svg(Graph([], [], [], title=title))
    assert elements(markup, "rect")
    assert title in words(markup)


def test_a_long_name_is_wrapped_and_kept_whole_in_the_tooltip() -> None:
    name = "verify the checksum of every artefact that was built tonight and tell everybody"
    graph = Graph([name], [[]], [JobState.RUNNING])
    (box,) = drawing_of(graph, full=False).boxes
    assert 1 < len(box.name) <= 3
    assert box.width < 300
    assert box.tooltip.splitlines()[0] == name


def test_importing_pictures_loads_no_layout_engine_and_no_rasteriser() -> None:
    code = (
        "import sys, headway.pictures;"
        "assert not {'graphlay', 'renderdag', 'resvg_py', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
