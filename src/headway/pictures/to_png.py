"""A drawing as PNG: its SVG, rasterised by resvg with a font that comes along.

Nothing of the machine is needed: no display, no installed font. The fonts installed are asked
only for characters that the font lacks (it has Latin, Greek and Cyrillic); one that no font
has is drawn as an empty frame.
"""

import re
from dataclasses import replace
from importlib.resources import files
from math import sqrt
from pathlib import Path

from headway.errors import Unavailable
from headway.pictures.drawing import Drawing
from headway.pictures.paths import length_px
from headway.pictures.to_svg import svg_of

_SHARP = 2_500_000  # pixels up to which a picture is drawn larger than life, at most twice
_MOST = 8_000_000  # pixels; a larger picture is drawn smaller (rasterising takes 10 bytes each)
_READABLE = 0.75  # below this share of its size a picture says that it was reduced
_SMOOTH_PX = 1_000_000  # length of all lines up to which smoothing their edges is quick
_COVERED = re.compile("[\n -\u024f\u0370-\u03ff\u0400-\u045f\u2010-\u2026]*")
_INSTALL = "PNG pictures need more packages: pip install 'headway[png]'"


def png_of(drawing: Drawing) -> bytes:
    """The drawing as a PNG file.

    Raises:
        Unavailable: the extra is not installed; the message has the line to type.
    """
    try:
        import resvg_py

        fonts = Path(str(files("font_source_sans_pro"))) / "files"
    except ImportError as missing:
        raise Unavailable(_INSTALL) from missing
    scale = _scale(drawing)
    if scale < _READABLE:
        remark = f"reduced to {scale:.0%} of its size; as SVG every name can be read"
        drawing = replace(drawing, remark=remark)
    length = sum(length_px(line.path) for line in drawing.lines)
    svg = svg_of(drawing, smooth_lines=length <= _SMOOTH_PX)
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=svg,
            width=max(1, round(drawing.width * scale)),
            font_files=[str(fonts / f"SourceSansPro-{cut}.ttf") for cut in ("Regular", "Semibold")],
            skip_system_fonts=_COVERED.fullmatch(svg) is not None,
        )
    )


def _scale(drawing: Drawing) -> float:
    """Pixels for one px of the drawing."""
    pixels = drawing.width * drawing.height
    return min(2.0, max(sqrt(_SHARP / pixels), min(1.0, sqrt(_MOST / pixels))))
