"""A drawing as SVG: one file, no script, nothing fetched from elsewhere."""

from collections.abc import Iterable
from math import hypot
from xml.sax.saxutils import escape, quoteattr

from headway.pictures.drawing import (
    LEGEND_PX,
    MARGIN,
    TITLE_LINE,
    TITLE_PX,
    Box,
    Drawing,
    Entry,
)
from headway.pictures.faces import (
    BADGE,
    DETAIL_LINE,
    DETAIL_PX,
    NAME_LINE,
    NAME_PX,
    PAD_X,
    PAD_Y,
    STACK,
)
from headway.pictures.looks import (
    BACKGROUND,
    EDGE,
    EDGE_TROUBLE,
    LOOKS,
    NAME_INK,
    NOTE_INK,
    PANEL_FILL,
    PANEL_LINE,
    TITLE_INK,
    Look,
)
from headway.pictures.paths import Path, number, written

FONTS = "'Source Sans Pro', 'Source Sans 3', 'Helvetica Neue', Arial, sans-serif"


def svg_of(drawing: Drawing, *, smooth_lines: bool = True) -> str:
    """The drawing as an SVG document. Lines that are not smoothed are drawn much faster."""
    width, height = number(drawing.width), number(drawing.height)
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" role="img" aria-label={_attribute(drawing.summary)}'
        f' font-family="{FONTS}">\n',
        f"<title>{escape(drawing.summary)}</title>\n",
        f'<rect width="{width}" height="{height}" fill="{BACKGROUND}"/>\n',
        f'<g transform="translate({number(MARGIN * (1 - drawing.heading))} 0)'
        f' scale({drawing.heading:.3f})">\n',
        *_title(drawing),
        *_legend(drawing),
        "</g>\n",
        f'<g transform="translate({number(drawing.origin[0])} {number(drawing.origin[1])})">\n',
        *_panels(drawing),
        *_lines(drawing, EDGE, smooth_lines),
        *_lines(drawing, EDGE_TROUBLE, smooth_lines),
    ]
    for box in drawing.boxes:
        parts += _box(box)
    parts += ["</g>\n", *_remark(drawing), "</svg>\n"]
    return "".join(parts)


def _attribute(text: str) -> str:
    return quoteattr(text, {"\n": "&#10;"})


def _text(x: float, y: float, size: float, ink: str, text: str, weight: str = "") -> str:
    heavy = f' font-weight="{weight}"' if weight else ""
    return (
        f'<text x="{number(x)}" y="{number(y)}" font-size="{number(size)}" fill="{ink}"{heavy}>'
        f"{text}</text>\n"
    )


def _title(drawing: Drawing) -> Iterable[str]:
    for at, line in enumerate(drawing.title):
        y = MARGIN + TITLE_PX - 2 + at * TITLE_LINE
        yield _text(MARGIN, y, TITLE_PX, TITLE_INK, escape(line), "600")


def _legend(drawing: Drawing) -> Iterable[str]:
    for entry in drawing.legend:
        yield from _entry(entry)
    if drawing.needs_at is not None:
        x, y = drawing.needs_at
        yield f'<path d="M{number(x)} {number(y)}h12" stroke="{EDGE}" stroke-width="1.5"/>'
        yield f'<path d="M{number(x + 17)} {number(y)}l-7 3.5v-7z" fill="{EDGE}"/>'
        yield _text(x + BADGE, y + 4.3, LEGEND_PX, NOTE_INK, "needs")


def _entry(entry: Entry) -> Iterable[str]:
    look = LOOKS[entry.state]
    yield _badge(look, entry.x, entry.y - 8)
    words = f'{escape(entry.state)} <tspan fill="{NOTE_INK}">{entry.count:,}</tspan>'
    yield _text(entry.x + BADGE, entry.y + 4.3, LEGEND_PX, look.ink, words)


def _badge(look: Look, x: float, y: float) -> str:
    """A disc or ring of 16 px with the state's icon, its upper left corner at x, y."""
    fill, stroke = (BACKGROUND, look.line) if look.hollow else (look.line, BACKGROUND)
    icon = (
        f'<path d="{look.icon}" fill="none" stroke="{stroke}" stroke-width="1.8"'
        ' stroke-linecap="round" stroke-linejoin="round"/>'
        if look.icon
        else ""
    )
    return (
        f'<g transform="translate({number(x)} {number(y)})">'
        f'<circle cx="8" cy="8" r="7.2" fill="{fill}" stroke="{look.line}" stroke-width="1.6"/>'
        f"{icon}</g>\n"
    )


def _panels(drawing: Drawing) -> Iterable[str]:
    for panel in drawing.panels:
        yield (
            f'<rect x="{number(panel.x)}" y="{number(panel.y)}" width="{number(panel.width)}"'
            f' height="{number(panel.height)}" rx="12" fill="{PANEL_FILL}"'
            f' stroke="{PANEL_LINE}"/>\n'
        )


def _lines(drawing: Drawing, color: str, smooth: bool) -> Iterable[str]:
    lines = [line for line in drawing.lines if line.color == color]
    if not lines:
        return
    hint = "" if smooth else ' shape-rendering="optimizeSpeed"'
    yield f'<g fill="none" stroke="{color}" stroke-width="1.4"{hint}>\n'
    for line in lines:
        yield f'<path d="{written(line.path)}"/>\n'
    yield f'</g>\n<path fill="{color}" d="'
    yield from (arrow_head(line.path) for line in lines)
    yield '"/>\n'


def _remark(drawing: Drawing) -> Iterable[str]:
    if drawing.remark:
        size = LEGEND_PX * drawing.heading
        yield _text(MARGIN, drawing.height - size * 0.7, size, NOTE_INK, escape(drawing.remark))


def arrow_head(path: Path) -> str:
    """An arrow head that touches the end of the path, in the direction it arrives from."""
    x, y = path[-1][-2:]
    before = path[-1][-4:-2] if len(path[-1]) > 2 else path[-2][-2:]
    length = hypot(x - before[0], y - before[1]) or 1.0
    dx, dy = (x - before[0]) / length, (y - before[1]) / length
    left = (x - 8 * dx - 3.8 * dy, y - 8 * dy + 3.8 * dx)
    right = (x - 8 * dx + 3.8 * dy, y - 8 * dy - 3.8 * dx)
    spots = (" ".join(map(number, spot)) for spot in ((x, y), left, right))
    return "M" + "L".join(spots) + "z"


def _box(box: Box) -> Iterable[str]:
    look = LOOKS[box.state]
    stack = STACK if len(box.keys) > 1 else 0.0
    width, height = box.width - stack, box.height - stack
    border = f'stroke="{look.line}" stroke-width="{2.2 if look.strong else 1.3}"'
    dashes = ' stroke-dasharray="5 3"' if look.dashed else ""
    yield (
        f'<g transform="translate({number(box.x)} {number(box.y)})">'
        f"<title>{escape(box.tooltip)}</title>"
    )
    for offset in (stack, 0.0) if stack else (0.0,):
        yield (
            f'<rect x="{number(offset)}" y="{number(offset)}" width="{number(width)}"'
            f' height="{number(height)}" rx="8" fill="{look.fill}" {border}{dashes}/>'
        )
    yield "\n" + _badge(look, PAD_X - 2, PAD_Y + 1)
    y, x = PAD_Y - 4, PAD_X + BADGE - 2
    for line in box.name:
        y += NAME_LINE
        yield _text(x, y, NAME_PX, NAME_INK, escape(line), "600")
    for at, line in enumerate(box.detail):
        y += DETAIL_LINE
        yield _text(x, y, DETAIL_PX, NOTE_INK, _detail(box, line, at))
    yield "</g>\n"


def _detail(box: Box, line: str, at: int) -> str:
    """A line below the name; the state's word in its own ink."""
    if at:
        return escape(line)
    word = str(box.state)
    ink = LOOKS[box.state].ink
    return f'<tspan fill="{ink}" font-weight="600">{word}</tspan>{escape(line[len(word) :])}'
