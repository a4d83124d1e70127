"""Mermaid gets a flowchart it can parse, whatever the names are."""

import re

from headway.jobs.states import JobState, Verdict
from headway.pictures import Graph, mermaid

NODE = re.compile(r'  n\d+\["[^"]*"\]:::\w+')
LINKS = re.compile(r"  n\d+( & n\d+)* --> n\d+( & n\d+)*")
STYLE = re.compile(r"  classDef \w+ [\w#:,.\- ]+")


def test_nodes_links_and_classes_are_all_there() -> None:
    graph = Graph(
        ["a", "b", "c"],
        [[], [], [0, 1]],
        [Verdict.DONE, Verdict.WILL_RUN, Verdict.NOT_CHECKABLE],
        ["", "the TV is off", ""],
        "Plan",
    )
    assert mermaid(graph).splitlines()[:8] == [
        "---",
        'title: "Plan"',
        "---",
        "flowchart TD",
        '  n0["a<br/>✓ done"]:::done',
        '  n1["b<br/>→ will run<br/>the TV is off"]:::will_run',
        '  n2["c<br/>#126; not checkable"]:::not_checkable',
        "  n2 --> n0 & n1",
    ]


def test_hostile_names_are_written_as_entities() -> None:
    names = ['"] --> x', "a\nb", "#quot; ; & <b>", "%%{init: {}}%%", "`md` *x* \\n", "end", "部署"]
    graph = Graph(names, [[]] * 7, [JobState.PASSED] * 7, title="%%{init}%% --- <x>")
    head, body = mermaid(graph).split("flowchart TD\n")
    for line in body.splitlines():
        assert NODE.fullmatch(line) or LINKS.fullmatch(line) or STYLE.fullmatch(line), line
    labels = re.findall(r'\["([^"]*)"\]', body)
    assert len(labels) == 7
    for label in labels:
        bare = label.replace("<br/>", "")
        assert not re.search(r"[\"<>&`*%{}\\]", bare)
        assert all(re.match(r"#\d+;", bare[at.start() :]) for at in re.finditer("#", bare))
    assert labels[6].startswith("部署")
    assert "%" not in head
    assert "<" not in head


def test_a_large_graph_is_collapsed_unless_it_is_wanted_full() -> None:
    needs = [*([] for _ in range(400)), list(range(400))]
    graph = Graph([f"job {key}" for key in range(401)], needs, [JobState.PENDING] * 401)
    assert mermaid(graph).count("[") == 2
    assert "and 399 more" in mermaid(graph)
    assert mermaid(graph, full=True).count("[") == 401


def test_more_arrows_than_mermaid_draws_unasked_are_announced() -> None:
    needs = [*([] for _ in range(600)), list(range(600))]
    graph = Graph([f"job {key}" for key in range(601)], needs, [JobState.PENDING] * 601)
    assert "%% 600 arrows: set maxEdges" in mermaid(graph, full=True)
    assert "maxEdges" not in mermaid(graph)
