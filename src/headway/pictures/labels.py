"""Names made safe to show, measured, and broken into lines."""

import re
import unicodedata
from functools import lru_cache

LONGEST = 400  # characters of a name or note that any picture shows
_JOINERS = "\u200c\u200d"  # invisible, but words and emoji of many languages need them
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_PLAIN = re.compile(r"[ -~\u00a1-\u00ac\u00ae-\u024f]*")
_PIECE = re.compile(r"[^\s_\-.:/,]*[\s_\-.:/,]*")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def shown(text: str) -> str:
    """The text on one line, with what is invisible or not text written as an escape.

    Control characters, direction overrides and lone surrogates can neither steer a terminal
    nor break a file. Longer texts than LONGEST lose their middle.
    """
    text = clipped(text, LONGEST)
    return text if _PLAIN.fullmatch(text) else "".join(map(_shown_character, text))


def clipped(text: str, longest: int) -> str:
    """The text, or both its ends with an ellipsis between them."""
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 3
    return f"{text[: longest - 1 - tail]}…{text[len(text) - tail :]}"


@lru_cache(maxsize=4096)
def _shown_character(char: str) -> str:
    code = ord(char)
    hidden = unicodedata.category(char) in _HIDDEN and char not in _JOINERS
    if not hidden and code & 0xFFFE != 0xFFFE and not 0xFDD0 <= code <= 0xFDEF:
        return char
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char)
    if named or code < 0x100:
        return named or f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


@lru_cache(maxsize=4096)
def columns_of(char: str) -> int:
    """Terminal columns a character takes."""
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def columns(text: str) -> int:
    """Terminal columns a text takes."""
    return len(text) if text.isascii() else sum(map(columns_of, text))


def cut(text: str, width: int) -> str:
    """The text within `width` columns, with an ellipsis where it was cut."""
    if columns(text) <= width:
        return text
    kept, used = [], 0
    for char in text:
        used += columns_of(char)
        if used > width - 1:
            break
        kept.append(char)
    return "".join(kept).rstrip() + "…" if width > 0 else ""


@lru_cache(maxsize=4096)
def _em(char: str) -> float:
    """Width of a character in ems: that of the wider common sans-serif fonts, so text fits."""
    if char in "ijl.,:;'|!I ":
        return 0.34
    if char in 'frt()[]{}-/\\"*`°':
        return 0.44
    if char in "mwMW@%…—":
        return 0.95
    if char.isascii():
        return 0.72 if char.isupper() else 0.62
    if columns_of(char) != 1:
        return 1.05 if columns_of(char) else 0.0
    return 0.72


def width_px(text: str, size_px: float) -> float:
    """Width of a text at a font size, both in pixels; an estimate that errs to the wide side."""
    return sum(map(_em, text)) * size_px


def lines_of(text: str, size_px: float, widest_px: float, most: int) -> tuple[str, ...]:
    """The text broken into at most `most` lines; if it needs more, its middle is left out.

    Breaks after blanks and punctuation and inside CamelCase, and anywhere if nothing else fits.
    """
    lines: list[str] = []
    line, room = "", widest_px
    for piece in _pieces(text, size_px, widest_px):
        needed = width_px(piece.rstrip(), size_px)
        if needed > room and line:
            lines.append(line.rstrip())
            line, room = "", widest_px
        line += piece
        room -= width_px(piece, size_px)
    lines.append(line.rstrip())
    if len(lines) > most:
        lines = [*lines[: most - 1], _tail(text, size_px, widest_px)]
    return tuple(lines)


def all_lines(text: str) -> tuple[str, ...]:
    """A name or note, safe to show, in as many lines as it takes; none for an empty one."""
    return lines_of(shown(text), 13.0, 240.0, LONGEST) if text else ()


def _pieces(text: str, size_px: float, widest_px: float) -> list[str]:
    pieces: list[str] = []
    for word in _PIECE.findall(text):
        for part in _CAMEL.split(word):
            if width_px(part, size_px) <= widest_px:
                pieces.append(part)
            else:
                pieces += _broken(part, size_px, widest_px)
    return pieces


def _broken(part: str, size_px: float, widest_px: float) -> list[str]:
    """A part too wide for a line, in stretches that fit."""
    stretches, start, used = [], 0, 0.0
    for at, char in enumerate(part):
        used += _em(char) * size_px
        if used > widest_px and at > start:
            stretches.append(part[start:at])
            start, used = at, _em(char) * size_px
    return [*stretches, part[start:]]


def _tail(text: str, size_px: float, widest_px: float) -> str:
    """An ellipsis and as much of the end as fits on one line."""
    start, room = len(text), widest_px - width_px("…", size_px)
    while start and (room := room - _em(text[start - 1]) * size_px) >= 0:
        start -= 1
    return "…" + text[start:]
