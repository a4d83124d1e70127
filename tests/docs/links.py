"""Finds the links of Markdown pages that lead nowhere."""

import re
from collections.abc import Iterator
from pathlib import Path

LINK = re.compile(
    r"\]\(\s*<?([^)\s>]+)|^\[[^\]]+\]:\s*(\S+)|(?:src|href)=\"([^\"]+)\"", re.MULTILINE
)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def prose(page: str) -> str:
    """PAGE without its fenced blocks and code spans, in which nothing is a link."""
    without_blocks = re.sub(r"^([ \t]*`{3,})[^\n]*\n.*?^\1[^\n]*$", "", page, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", without_blocks)


def anchors(page: str) -> set[str]:
    """The names under which the headings of PAGE can be linked to."""
    found: set[str] = set()
    fenceless = re.sub(r"^([ \t]*`{3,})[^\n]*\n.*?^\1[^\n]*$", "", page, flags=re.M | re.S)
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", fenceless, flags=re.M):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        repeats = sum(1 for known in found if re.fullmatch(rf"{re.escape(name)}(-\d+)?", known))
        found.add(f"{name}-{repeats}" if name in found else name)
    return found


def links(page: str) -> Iterator[str]:
    for match in LINK.finditer(prose(page)):
        yield next(group for group in match.groups() if group)


def broken_links(file: Path) -> list[str]:
    """The links of the page FILE to files or headings that are not there."""
    broken: list[str] = []
    for link in links(file.read_text("utf-8")):
        if ELSEWHERE.match(link):
            continue
        path, _, anchor = link.partition("#")
        target = file.parent / path if path else file
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target.read_text("utf-8"))
        ):
            broken.append(link)
    return broken
