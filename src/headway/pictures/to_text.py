"""A graph as text for the terminal: drawn while it is small, summed up beyond."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from headway.jobs.states import JobState, Verdict
from headway.pictures.graph import Graph
from headway.pictures.labels import columns, cut, shown
from headway.pictures.looks import LOOKS

MOST_DRAWN = 24  # nodes; a drawing of more is no longer read but searched
_NAMED = 8  # jobs of one state that a summary names
_LAYERS = 12  # layers that a summary shows
_WIDEST_BAR = 30
_NARROWEST_NAME = 12
_GLYPH = "\0"  # stands for a node in the drawing until the line is coloured

_TOLD = (
    JobState.FAILED,
    JobState.OVERDUE,
    JobState.IN_DOUBT,
    JobState.RUNNING,
    JobState.WAITING,
    Verdict.WILL_RUN,
    Verdict.NOT_CHECKABLE,
)

Span = tuple[str, str]  # a text and the terminal colour it has, "" for none
Row = list[Span]


def text_of(graph: Graph, *, width: int, color: bool) -> str:
    """The graph in lines of at most `width` columns."""
    rows = _drawn(graph, width) if 0 < len(graph.names) <= MOST_DRAWN else None
    if rows is None:
        rows = list(_summary(graph)) if graph.names else []
    if graph.title:
        rows = [[(shown(graph.title), "1")], [], *rows]
    return "".join(_line(row, width, color) + "\n" for row in rows)


def _line(row: Row, width: int, color: bool) -> str:
    spans: Row = []
    for text, ansi in row:
        kept = cut(text, width - sum(columns(before) for before, _ in spans))
        spans.append((kept, ansi))
    while spans and not spans[-1][0].rstrip():
        del spans[-1]
    if spans:
        spans[-1] = (spans[-1][0].rstrip(), spans[-1][1])
    if not color:
        return "".join(text for text, _ in spans)
    return "".join(
        f"\x1b[{ansi}m{text}\x1b[0m" if ansi and text.strip() else text for text, ansi in spans
    )


def _drawn(graph: Graph, width: int) -> list[Row] | None:
    """One row a node, what is wanted first; None if the lines leave no room for names."""
    from renderdag import Ancestor, GraphRowRenderer

    renderer = GraphRowRenderer().output().build_box_drawing()
    drawn: list[tuple[int, list[str]]] = []
    for key in _from_the_top(graph):
        needed = [Ancestor.parent(other) for other in dict.fromkeys(graph.needs[key])]
        drawn.append((key, renderer.next_row(key, needed, _GLYPH, "").splitlines()))
    _close_up(graph, drawn)
    margin = max(len(lines[0]) for _, lines in drawn) + 2
    words = max(map(len, graph.states))
    room = width - margin - words - 4
    if room < _NARROWEST_NAME:
        return None
    names = [shown(name) for name in graph.names]
    name_width = min(max(map(columns, names)), max(room * 2 // 3, room - 30))
    rows: list[Row] = []
    for key, lines in drawn:
        look = LOOKS[graph.states[key]]
        before, _, after = lines[0].partition(_GLYPH)
        name = cut(names[key], name_width)
        rows.append(
            [
                (before, "2"),
                (look.symbol, look.ansi),
                (after.ljust(margin - len(before) - 1), "2"),
                (name + " " * (name_width - columns(name) + 2), ""),
                (graph.states[key].ljust(words + 2), look.ansi),
                (shown(graph.note(key)), ""),
            ]
        )
        rows += [[(line, "2")] for line in lines[1:]]
    return rows


def _close_up(graph: Graph, drawn: list[tuple[int, list[str]]]) -> None:
    """Drops the line below a node without needs where nothing could be taken for one."""
    for (key, lines), (_, below) in pairwise(drawn):
        if not graph.needs[key] and lines[0].index(_GLYPH) != below[0].index(_GLYPH):
            del lines[1:]
    del drawn[-1][1][1:]


def _from_the_top(graph: Graph) -> list[int]:
    """The nodes, each after all that need it, each branch in one piece, in DEPS order."""
    waiting = [0] * len(graph.needs)
    for needed in graph.needs:
        for other in set(needed):
            waiting[other] += 1
    order: list[int] = []
    ready = [key for key, count in enumerate(waiting) if count == 0]
    while ready:
        key = ready.pop()
        order.append(key)
        for other in reversed(list(dict.fromkeys(graph.needs[key]))):
            waiting[other] -= 1
            if waiting[other] == 0:
                ready.append(other)
    return order


def _summary(graph: Graph) -> Iterable[Row]:
    total = len(graph.names)
    yield [(f"{total:,} jobs", "1")]
    counts = Counter(graph.states)
    states = [state for state in (*JobState, *Verdict) if state in counts]
    word_width = max(len(state) for state in states)
    number_width = max(len(f"{counts[state]:,}") for state in states)
    for state in states:
        look = LOOKS[state]
        bar = "█" * max(1, round(_WIDEST_BAR * counts[state] / total))
        yield [
            (f"  {look.symbol} {state.ljust(word_width)}", look.ansi),
            (f"  {counts[state]:>{number_width},}  ", ""),
            (bar, look.ansi),
        ]
    yield []
    yield from _layers(graph)
    for state in _TOLD:
        if state in counts:
            yield []
            yield from _told(graph, state)
    yield []
    yield [("All of it: headway graph … --format svg", "")]


def _layers(graph: Graph) -> Iterable[Row]:
    """How many jobs stand in each layer, in the order in which they can start."""
    depths: list[int] = []
    for needed in graph.needs:
        depths.append(1 + max((depths[other] for other in needed), default=-1))
    layers: list[list[JobState | Verdict]] = [[] for _ in range(max(depths) + 1)]
    for depth, state in zip(depths, graph.states, strict=True):
        layers[depth].append(state)
    yield [(f"{len(layers):,} layers, first to start on top", "1")]
    number_width = len(f"{len(layers):,}")
    count_width = max(len(f"{len(layer):,}") for layer in layers)
    for at, layer in enumerate(layers):
        if len(layers) > _LAYERS and _LAYERS // 2 <= at < len(layers) - _LAYERS // 2:
            if at == _LAYERS // 2:
                hidden = layers[at : len(layers) - _LAYERS // 2]
                jobs = sum(map(len, hidden))
                yield [(f"  … {len(hidden):,} more layers, {jobs:,} jobs", "2")]
            continue
        row: Row = [(f"  {at + 1:>{number_width},}  {len(layer):>{count_width},}", "")]
        counts = Counter(layer)
        for state in (*JobState, *Verdict):
            if state in counts:
                row.append((f"  {LOOKS[state].symbol} {counts[state]:,}", LOOKS[state].ansi))
        yield row


def _told(graph: Graph, state: JobState | Verdict) -> Iterable[Row]:
    """The first jobs of a state by name."""
    keys: Sequence[int] = [key for key, other in enumerate(graph.states) if other is state]
    look = LOOKS[state]
    yield [(f"{look.symbol} {state}", look.ansi)]
    for key in keys[:_NAMED]:
        note = shown(graph.note(key))
        yield [(f"  {shown(graph.names[key])}", ""), (f"  {note}" if note else "", "2")]
    if len(keys) > _NAMED:
        yield [(f"  and {len(keys) - _NAMED:,} more", "2")]
