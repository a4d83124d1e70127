"""Outside: plans and runs as SVG, DOT, Mermaid, text and PNG, coloured by state.

Every picture is made from a `Graph`, in time linear in its nodes and needs but for layout; the
same graph gives the same bytes. Beyond 300 nodes, those of one state that need the same and are
needed by the same share one box with a count; `full` draws each.
"""

from headway.pictures.graph import Graph

__all__ = ["Graph", "dot", "mermaid", "png", "svg", "text"]


def svg(graph: Graph, *, full: bool = False) -> str:
    """The graph as an SVG document."""
    from headway.pictures.drawing import drawing_of
    from headway.pictures.to_svg import svg_of

    return svg_of(drawing_of(graph, full=full))


def png(graph: Graph, *, full: bool = False) -> bytes:
    """The graph as a PNG file: what `svg` draws, at most 12 million pixels of it.

    Raises:
        Unavailable: the extra headway[png] is not installed.
    """
    from headway.pictures.drawing import drawing_of
    from headway.pictures.to_png import png_of

    return png_of(drawing_of(graph, full=full))


def dot(graph: Graph) -> str:
    """Every node of the graph in Graphviz's DOT language."""
    from headway.pictures.to_dot import dot_of

    return dot_of(graph)


def mermaid(graph: Graph, *, full: bool = False) -> str:
    """The graph as a Mermaid flowchart."""
    from headway.pictures.to_mermaid import mermaid_of

    return mermaid_of(graph, full=full)


def text(graph: Graph, *, width: int = 100, color: bool = False) -> str:
    """The graph as lines of at most `width` columns; beyond 24 nodes a summary of it.

    `color` adds the colour sequences of terminals.
    """
    from headway.pictures.to_text import text_of

    return text_of(graph, width=width, color=color)
