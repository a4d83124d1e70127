"""A graph as a Mermaid flowchart, for Markdown that draws it."""

import json
import re
from itertools import count

from headway.jobs.states import JobState, Verdict
from headway.pictures.boxes import blocks_of
from headway.pictures.graph import Graph
from headway.pictures.labels import all_lines, shown
from headway.pictures.looks import LOOKS, NAME_INK

_SPECIAL = re.compile(r"[^\w\s\-.,:/()'+=?!]", re.ASCII)
_MOST_EDGES = 500  # what Mermaid draws unless told otherwise


def mermaid_of(graph: Graph, *, full: bool) -> str:
    """The graph as a flowchart whose arrows run from what needs to what is needed."""
    blocks = blocks_of(graph, full=full)
    numbers = count()
    ids = [[f"n{next(numbers)}" for _ in block.boxes] for block in blocks]
    nodes, links, edges = [], [], 0
    for block, own in zip(blocks, ids, strict=True):
        needed = [other for need in block.needs for other in ids[need]]
        edges += len(own) * len(needed)
        for box, name in zip(block.boxes, own, strict=True):
            state = graph.states[box[0]]
            nodes.append(f'  {name}["{_label(graph, box)}"]:::{_class(state)}\n')
        if needed:
            links.append(f"  {' & '.join(own)} --> {' & '.join(needed)}\n")
    title = [f"---\ntitle: {_yaml(graph.title)}\n---\n"] if graph.title else []
    advice = [f"  %% {edges} arrows: set maxEdges\n"] if edges > _MOST_EDGES else []
    used = [state for state in (*JobState, *Verdict) if state in set(graph.states)]
    return "".join([*title, "flowchart TD\n", *advice, *nodes, *links, *map(_styled, used)])


def _label(graph: Graph, box: tuple[int, ...]) -> str:
    state = graph.states[box[0]]
    more = [f"and {len(box) - 1:,} more"] if len(box) > 1 else []
    note = all_lines(graph.note(box[0])) if len(box) == 1 else ()
    lines = [*all_lines(graph.names[box[0]]), *more, f"{LOOKS[state].symbol} {state}", *note]
    return "<br/>".join(map(_escaped, lines))


def _escaped(line: str) -> str:
    """The line with Mermaid's entity codes for whatever could mean something to it."""
    return _SPECIAL.sub(lambda found: _entity(found[0]), line)


def _entity(char: str) -> str:
    if char == "\\":  # with an n behind it, it would break the line: a zero-width blank parts them
        return "#92;#8203;"
    return f"#{ord(char)};" if char.isascii() else char


def _yaml(title: str) -> str:
    """The title as a YAML string. Mermaid drops what looks like a tag, so angles are replaced."""
    text = shown(title).replace("<", "\u2039").replace(">", "\u203a")
    return json.dumps(text, ensure_ascii=False).replace("%", "\\u0025")


def _class(state: JobState | Verdict) -> str:
    return state.replace(" ", "_")


def _styled(state: JobState | Verdict) -> str:
    look = LOOKS[state]
    dashes = ",stroke-dasharray:5 3" if look.dashed else ""
    width = "2.5px" if look.strong else "1.3px"
    return (
        f"  classDef {_class(state)} fill:{look.fill},stroke:{look.line},"
        f"stroke-width:{width},color:{NAME_INK}{dashes}\n"
    )
