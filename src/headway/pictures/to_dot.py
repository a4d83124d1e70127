"""A graph in Graphviz's DOT language. Every node is there; layout is Graphviz's business."""

from headway.pictures.graph import Graph
from headway.pictures.labels import all_lines, shown
from headway.pictures.looks import BACKGROUND, EDGE, LOOKS, NAME_INK


def dot_of(graph: Graph) -> str:
    """The graph as a digraph whose arrows run from what needs to what is needed."""
    parts = [
        "digraph {\n",
        f'  graph [bgcolor="{BACKGROUND}" rankdir=TB labelloc=t fontname=Helvetica'
        f" label={_quoted(shown(graph.title))}]\n",
        f'  node [shape=box fontname=Helvetica fontcolor="{NAME_INK}"]\n',
        f'  edge [color="{EDGE}" arrowsize=0.7]\n',
    ]
    for key, name in enumerate(graph.names):
        state, look = graph.states[key], LOOKS[graph.states[key]]
        label = [*all_lines(name), f"{look.symbol} {state}", *all_lines(graph.note(key))]
        style = "rounded,filled,dashed" if look.dashed else "rounded,filled"
        parts.append(
            f'  n{key} [label={_quoted(*label)} style="{style}" fillcolor="{look.fill}"'
            f' color="{look.line}" penwidth={2 if look.strong else 1}]\n'
        )
    for key, needed in enumerate(graph.needs):
        parts += [f"  n{key} -> n{other}\n" for other in dict.fromkeys(needed)]
    parts.append("}\n")
    return "".join(parts)


def _quoted(*lines: str) -> str:
    """Lines as one quoted string; Graphviz reads backslashes and HTML entities in it."""
    return '"' + "\\n".join(map(_escaped, lines)) + '"'


def _escaped(line: str) -> str:
    return line.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
