"""What a box says and how large it is, and how the boxes of a block stand."""

from collections.abc import Sequence
from dataclasses import dataclass

from headway.pictures.graph import Graph
from headway.pictures.labels import lines_of, shown, width_px
from headway.pictures.paths import Point

NAME_PX, DETAIL_PX = 13.5, 11.5  # sizes of type
NAME_LINE, DETAIL_LINE = 17.0, 15.0  # px from one line to the next
PAD_X, PAD_Y = 12.0, 9.0  # px between a box's border and its text
BADGE = 24.0  # px the badge takes at the left of a box
STACK = 4.0  # px by which the shadow of a box with a count sticks out
_WIDEST_NAME, _WIDEST_DETAIL = 180.0, 216.0
_BOLDER = 1.12  # how much wider semibold text is
_PANEL_PAD, _PANEL_GAP = 14.0, 12.0


@dataclass(frozen=True, slots=True)
class Face:
    """A box before it has its place."""

    name: tuple[str, ...]
    detail: tuple[str, ...]
    width: float
    height: float


def face_of(graph: Graph, keys: Sequence[int]) -> Face:
    first, count = keys[0], len(keys)
    name = lines_of(shown(graph.names[first]), NAME_PX, _WIDEST_NAME, 3)
    detail = [str(graph.states[first])]
    if count > 1:
        name = (*name, f"and {count - 1:,} more")
    elif note := shown(graph.note(first)):
        joined = f"{detail[0]} · {note}"
        if width_px(joined, DETAIL_PX) <= _WIDEST_DETAIL:
            detail = [joined]
        else:
            detail += lines_of(note, DETAIL_PX, _WIDEST_DETAIL, 2)
    text = max(
        *(width_px(line, NAME_PX) * _BOLDER for line in name),
        width_px(detail[0], DETAIL_PX) * _BOLDER,
        *(width_px(line, DETAIL_PX) for line in detail[1:]),
    )
    tall = len(name) * NAME_LINE + len(detail) * DETAIL_LINE
    stack = STACK if count > 1 else 0.0
    return Face(
        name,
        tuple(detail),
        float(round(BADGE + text + 2 * PAD_X + stack)),
        round(tall + 2 * PAD_Y + stack),
    )


@dataclass(frozen=True, slots=True)
class Grid:
    """How the boxes of a block stand: alone, or in rows and columns of equals within a panel."""

    size: Point
    box: Point
    columns: int
    pad: float

    @classmethod
    def of(cls, faces: Sequence[Face]) -> "Grid":
        width = max(face.width for face in faces)
        height = max(face.height for face in faces)
        if len(faces) == 1:
            return cls((width, height), (width, height), 1, 0.0)
        wide, tall = width + _PANEL_GAP, height + _PANEL_GAP
        columns = min(len(faces), max(1, round((1.6 * len(faces) * tall / wide) ** 0.5)))
        rows = -(-len(faces) // columns)
        columns = -(-len(faces) // rows)
        frame = 2 * _PANEL_PAD - _PANEL_GAP
        return cls(
            (columns * wide + frame, rows * tall + frame), (width, height), columns, _PANEL_PAD
        )

    def widened(self, width: float) -> "Grid":
        """The same single box, wider."""
        size = (width, self.size[1])
        return Grid(size, size, 1, 0.0)

    def corner(self, at: int, corner: Point) -> Point:
        """Upper left corner of a box of the block that has its own corner there."""
        row, column = divmod(at, self.columns)
        return (
            corner[0] + self.pad + column * (self.box[0] + _PANEL_GAP),
            corner[1] + self.pad + row * (self.box[1] + _PANEL_GAP),
        )
