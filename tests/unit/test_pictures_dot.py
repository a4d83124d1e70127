"""DOT holds every node and every need, and Graphviz can read it."""

import re

from headway.jobs.states import JobState
from headway.pictures import Graph, dot

STRING = r'"(?:[^"\\]|\\.)*"'
NODE = re.compile(
    rf"  n\d+ \[label={STRING} style={STRING} fillcolor={STRING} color={STRING} penwidth=\d\]"
)


def test_every_node_and_every_need_is_there_however_large_the_graph() -> None:
    needs = [*([] for _ in range(400)), list(range(400))]
    lines = dot(Graph([f"job {key}" for key in range(401)], needs, [JobState.PENDING] * 401))
    assert len(re.findall(r"^  n\d+ \[", lines, re.MULTILINE)) == 401
    assert len(re.findall(r"^  n400 -> n\d+$", lines, re.MULTILINE)) == 400


def test_an_arrow_runs_from_what_needs_to_what_is_needed() -> None:
    lines = dot(Graph(["needed", "needing"], [[], [0]], [JobState.PASSED] * 2)).splitlines()
    assert "  n1 -> n0" in lines


def test_hostile_names_stay_within_their_quotes() -> None:
    names = ['say "hi"', "back\\slash \\N", "&lt;<b>", "new\nline", "ends with \\"]
    text = dot(Graph(names, [[]] * 5, [JobState.FAILED] * 5, names, 'a "title"\\'))
    lines = text.splitlines()
    nodes = [
        line for line in lines if line.startswith("  n") and "[" in line and "node" not in line
    ]
    assert len(nodes) == 5
    assert all(NODE.fullmatch(line) for line in nodes)
    assert 'label="say \\"hi\\"\\n' in nodes[0]
    assert "back\\\\slash \\\\N" in nodes[1]
    assert "&amp;lt;<b>" in nodes[2]
    assert "new\\\\nline" in nodes[3]
    assert lines[0] == "digraph {"
    assert lines[-1] == "}"


def test_the_state_is_a_word_and_a_note_follows_it() -> None:
    text = dot(Graph(["Pizza"], [[]], [JobState.IN_DOUBT], ["try 2 of 3"]))
    assert '"Pizza\\n? in doubt\\ntry 2 of 3"' in text
