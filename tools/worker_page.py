"""Writes what the page on workers tells of the class: ``python -m tools.worker_page``.

The page is written by hand but for the parts between marks. Those are made of the docstrings of
``Worker`` and of the table of its life, of which the picture is drawn too.
"""

import inspect
import re
from collections.abc import Mapping
from pathlib import Path

from headway.pictures.states import Way, states_svg
from headway.runtime.worker import Worker
from headway.wire.lifecycle import TRANSITIONS

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
PAGE = REFERENCE / "worker.md"
PICTURE = REFERENCE / "worker-life.svg"
DEFINED = ("process",)  # by who writes a worker
CALLED = ("send", "notify", "ack", "reject", "run_forever", "stop", "_connect")
_MARKED = re.compile(r"(<!-- (\w+): written by tools\.worker_page -->\n).*?(<!-- end -->)", re.S)
_COMMENTED = re.compile(r"((?:^    #: .*\n)+)    (\w+)(?:: [^=\n]+)? = (.+)$", re.M)


def page(text: str) -> str:
    """The page with its parts written anew."""
    written = parts()
    return _MARKED.sub(lambda mark: f"{mark[1]}\n{written[mark[2]]}\n{mark[3]}", text)


def parts() -> Mapping[str, str]:
    return {
        "attributes": _attributes(),
        "defined": _methods(DEFINED),
        "found": _found(),
        "called": _methods(CALLED),
        "life": _life(),
    }


def picture() -> str:
    ways = [
        Way(str(one.state), one.event, str(one.after), [str(deed) for deed in one.deeds])
        for one in TRANSITIONS
    ]
    return states_svg(ways, "The life of a worker")


def _attributes() -> str:
    rows = ["| attribute | default | meaning |", "|---|---|---|"]
    for comment, name, default in _COMMENTED.findall(inspect.getsource(Worker)):
        says = " ".join(line.strip().removeprefix("#: ") for line in comment.splitlines())
        rows.append(f"| `{name}` | `{default}` | {_markdown(says)} |")
    return "\n".join(rows) + "\n"


def _methods(names: tuple[str, ...]) -> str:
    sections = []
    for name in names:
        method = getattr(Worker, name)
        paragraphs = (inspect.getdoc(method) or "").split("\n\n")
        says = "\n\n".join(" ".join(one.split()) for one in paragraphs)
        sections.append(f"**`self.{name}({_arguments(method)})`**\n\n{_markdown(says)}\n")
    return "\n".join(sections)


def _arguments(method: object) -> str:
    assert callable(method)
    own = list(inspect.signature(method).parameters.values())[1:]
    plain = [one.replace(annotation=inspect.Parameter.empty) for one in own]
    return ", ".join(str(one).replace("'", '"') for one in plain)


def _found() -> str:
    """What the docstring of the class says of the attributes of its objects."""
    rows = ["| | meaning |", "|---|---|"]
    for paragraph in (inspect.getdoc(Worker) or "").split("\n\n"):
        if found := re.fullmatch(r"``self\.(\w+)``: (.*)", paragraph, re.S):
            says = " ".join(found[2].split())
            rows.append(f"| `self.{found[1]}` | {_markdown(says[0].upper() + says[1:])} |")
    return "\n".join(rows) + "\n"


def _life() -> str:
    rows = ["| it is | and | then it | and is |", "|---|---|---|---|"]
    for one in TRANSITIONS:
        deeds = ", ".join(map(str, one.deeds)) or "–"
        rows.append(f"| {one.state} | {one.event} | {deeds} | {one.after} |")
    table = "\n".join(rows)
    return f"![The life of a worker, from state to state]({PICTURE.name})\n\n{table}\n"


def _markdown(text: str) -> str:
    """Docstrings have two backticks where Markdown has one."""
    return re.sub(r"Raises: ", "*Raises:* ", text.replace("``", "`"))


def main() -> None:
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
    PICTURE.write_text(picture(), "utf-8")


if __name__ == "__main__":
    main()
