"""Draws plans and runs for programs: as bytes in a format, or on the screen."""

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from headway import pictures
from headway.errors import DefinitionError
from headway.jobs.plan import Plan
from headway.jobs.states import JobState, Verdict, shown_as
from headway.pictures.graph import Graph

FORMATS = ("png", "svg", "dot", "mermaid", "txt")


def draw(
    plan: Plan,
    states: Sequence[JobState | Verdict],
    fmt: str,
    *,
    full: bool = False,
    title: str = "",
) -> bytes:
    """A plan as a picture, coloured by the states (by key) of its jobs.

    ``fmt``: png, svg, dot, mermaid, or txt (text). ``full``: every job, also where many are alike.
    Raises: DefinitionError for another format.
    """
    graph = Graph(plan.names, plan.follows(), _shown(plan, states), title=title)
    return drawn(graph, fmt, full=full)


def drawn(
    graph: Graph,
    fmt: str,
    *,
    full: bool = False,
    width: int | None = None,
    color: bool = False,
) -> bytes:
    """A graph as a picture. ``width`` (columns) and ``color`` are for text only."""
    match fmt:
        case "png":
            return pictures.png(graph, full=full)
        case "svg":
            return pictures.svg(graph, full=full).encode()
        case "dot":
            return pictures.dot(graph).encode()
        case "mermaid":
            return pictures.mermaid(graph, full=full).encode()
        case "txt" | "text":
            return pictures.text(graph, width=width or 80, color=color).encode()
        case _:
            raise DefinitionError(f"there is no picture format {fmt!r}: {', '.join(FORMATS)}")


def display(plan: Plan, states: Sequence[JobState | Verdict]) -> None:
    """Open the picture in the browser; without a screen, print it as text."""
    import webbrowser

    if _has_screen():
        with tempfile.NamedTemporaryFile(
            "wb", prefix="headway-", suffix=".svg", delete=False
        ) as file:
            file.write(draw(plan, states, "svg"))
        if webbrowser.open(Path(file.name).as_uri()):
            return
        os.unlink(file.name)
    columns = shutil.get_terminal_size().columns
    graph = Graph(plan.names, plan.follows(), _shown(plan, states))
    sys.stdout.write(drawn(graph, "text", width=columns, color=sys.stdout.isatty()).decode())


def _shown(plan: Plan, states: Sequence[JobState | Verdict]) -> list[JobState | Verdict]:
    return [
        shown_as(state, has_check=rules.has_check) if isinstance(state, JobState) else state
        for state, rules in zip(states, plan.rules, strict=True)
    ]


def _has_screen() -> bool:
    if sys.platform == "darwin":
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
