"""A table of states as a picture: boxes for states, and on the way between them what happens.

Drawn downwards. What leads back to an earlier state says so, instead of drawing the line.
"""

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from headway.pictures.labels import lines_of, width_px
from headway.pictures.looks import BACKGROUND, EDGE, NAME_INK, NOTE_INK, PANEL_FILL, PANEL_LINE
from headway.pictures.paths import Placed, Point, number, written
from headway.pictures.placing import manner_of, place
from headway.pictures.to_svg import FONTS, arrow_head

_NAME_PX, _NOTE_PX, _LINE = 13.5, 11.5, 16.0
_PAD_X, _PAD_Y, _MARGIN = 12.0, 8.0, 20.0
_WIDEST = 150.0  # px of text before it is broken
_STATE_FILL, _STATE_LINE = "#deefff", "#0a66c2"


class Way(NamedTuple):
    """From one state to another: what happens, and what is done then."""

    state: str
    event: str
    after: str
    deeds: Sequence[str] = ()


class _Box(NamedTuple):
    """A state, or what happens on the way to one."""

    name: tuple[str, ...]
    notes: tuple[str, ...]
    is_state: bool

    @property
    def size(self) -> Point:
        wide = max(
            *(width_px(line, _NAME_PX) for line in self.name),
            *(width_px(line, _NOTE_PX) for line in self.notes),
            0.0,
        )
        tall = (len(self.name) + len(self.notes)) * _LINE
        return wide + 2 * _PAD_X, tall + 2 * _PAD_Y


def states_svg(ways: Sequence[Way], title: str) -> str:
    """The ways as an SVG document; the first one begins where everything begins."""
    boxes, needs = _graph(ways)
    sizes = [box.size for box in boxes]
    placed = place(manner_of(needs, sizes), needs, sizes)
    return _document(boxes, placed, sizes, title)


def _graph(ways: Sequence[Way]) -> tuple[list[_Box], list[list[int]]]:
    """Boxes, those come to before those come from; and for each, where its lines lead."""
    order = list(dict.fromkeys(way.state for way in ways))
    last = dict.fromkeys(way.after for way in ways if way.after not in order)
    boxes = [_Box((name,), (), True) for name in last]
    needs: list[list[int]] = [[] for _ in boxes]
    at = {name: number for number, name in enumerate(last)}
    for state in reversed(order):
        leads = []
        for way in [one for one in ways if one.state == state]:
            is_back = way.after in order[: order.index(state) + 1]
            boxes.append(_Box(_broken(way.event, _NAME_PX), _notes(way, is_back), False))
            needs.append([] if is_back else [at[way.after]])
            leads.append(len(boxes) - 1)
        boxes.append(_Box((state,), (), True))
        needs.append(leads)
        at[state] = len(boxes) - 1
    return boxes, needs


def _notes(way: Way, is_back: bool) -> tuple[str, ...]:
    said = [*way.deeds, *([f"back to {way.after}"] if is_back else [])]
    return tuple(line for text in said for line in _broken(text, _NOTE_PX))


def _broken(text: str, size_px: float) -> tuple[str, ...]:
    return lines_of(text, size_px, _WIDEST, 3)


def _document(boxes: Sequence[_Box], placed: Placed, sizes: Sequence[Point], title: str) -> str:
    left = min(x for x, _ in placed.corners) - _MARGIN
    top = min(y for _, y in placed.corners) - _MARGIN
    spots = zip(placed.corners, sizes, strict=True)
    ends = [(x + wide, y + tall) for (x, y), (wide, tall) in spots]
    width = max(x for x, _ in ends) + _MARGIN - left
    height = max(y for _, y in ends) + _MARGIN - top
    size = f"{number(width)} {number(height)}"
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n',
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{number(width)}"'
        f' height="{number(height)}" role="img" font-family="{FONTS}">\n',
        f"<title>{escape(title)}</title>\n",
        f'<rect width="{number(width)}" height="{number(height)}" fill="{BACKGROUND}"/>\n',
        f'<g transform="translate({number(-left)} {number(-top)})">\n',
        f'<g fill="none" stroke="{EDGE}" stroke-width="1.4">\n',
        *(f'<path d="{written(path)}"/>\n' for path in placed.paths),
        f'</g>\n<path fill="{EDGE}" d="',
        *(arrow_head(path) for path in placed.paths),
        '"/>\n',
    ]
    for box, corner, box_size in zip(boxes, placed.corners, sizes, strict=True):
        parts += _drawn(box, corner, box_size)
    return "".join([*parts, "</g>\n</svg>\n"])


def _drawn(box: _Box, corner: Point, size: Point) -> list[str]:
    (x, y), (width, height) = corner, size
    fill, line, radius = PANEL_FILL, PANEL_LINE, 4
    if box.is_state:
        fill, line, radius = _STATE_FILL, _STATE_LINE, 14
    parts = [
        f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}"'
        f' height="{number(height)}" rx="{radius}" fill="{fill}" stroke="{line}"'
        ' stroke-width="1.4"/>\n'
    ]
    y += _PAD_Y - 3.5
    for text in box.name:
        y += _LINE
        weight = ' font-weight="600"' if box.is_state else ""
        parts.append(_text(x + width / 2, y, _NAME_PX, NAME_INK, text, weight))
    for text in box.notes:
        y += _LINE
        parts.append(_text(x + width / 2, y, _NOTE_PX, NOTE_INK, text, ""))
    return parts


def _text(x: float, y: float, size: float, ink: str, text: str, more: str) -> str:
    return (
        f'<text x="{number(x)}" y="{number(y)}" font-size="{number(size)}" fill="{ink}"'
        f' text-anchor="middle"{more}>{escape(text)}</text>\n'
    )
