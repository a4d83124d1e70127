"""Draws how Celery's tasks are tracked: ``python -m tools.tracking_picture``.

The queues and keys in the picture are those of a ``Config``. Where things stand is laid out by
hand: who sends on the left, the broker in the middle, who listens on the right.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from headway.pictures.looks import BACKGROUND, EDGE, NAME_INK, NOTE_INK, PANEL_FILL, PANEL_LINE
from headway.pictures.paths import number
from headway.pictures.to_svg import FONTS, arrow_head
from headway.toolbox.config import Config
from headway.toolbox.platform import HEARS_ALL

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "celery-tracking.svg"
TITLE = "How Celery's tasks and their results reach the platform"
_WIDTH, _HEIGHT = 950, 402
_OURS = ("#deefff", "#0a66c2")  # what tracks
_OTHER = (BACKGROUND, "#7b8794")
_LINE = 17


class Box(NamedTuple):
    """A thing with a name, and what there is to say of it; x and y of its upper left corner."""

    x: int
    y: int
    wide: int
    tall: int
    name: str
    notes: Sequence[str] = ()
    is_ours: bool = False


class Way(NamedTuple):
    """Where something goes: through these spots, to the last; and what, written at a spot."""

    spots: Sequence[tuple[int, int]]
    says: str = ""
    at: tuple[int, int] = (0, 0)
    is_ours: bool = False


def boxes() -> list[Box]:
    config = Config(["export"])
    keys = {queue.name: queue.routing_key for queue in config.task_queues}
    assert keys == {"celery": "celery", "export": "export", "platform.fifo": HEARS_ALL}
    return [
        Box(40, 76, 150, 58, "a producer", ["sends a task"]),
        Box(40, 176, 150, 58, "a Celery worker", ["sends tasks, too"]),
        Box(270, 126, 150, 58, config.task_default_exchange, ["topic exchange"]),
        Box(510, 64, 150, 46, "celery"),
        Box(510, 132, 150, 46, "export"),
        Box(510, 214, 150, 46, "platform.fifo", is_ours=True),
        Box(750, 92, 150, 58, "Celery workers", ["run the tasks"]),
        Box(750, 208, 150, 58, "headway monitor", ["records each task"], is_ours=True),
        Box(748, 330, 70, 38, "tasks", is_ours=True),
        Box(828, 330, 92, 38, "results"),
    ]


def ways() -> list[Way]:
    return [
        Way([(190, 105), (230, 105), (230, 145), (270, 145)]),
        Way([(190, 205), (230, 205), (230, 165), (270, 165)]),
        Way([(420, 145), (465, 145), (465, 87), (510, 87)], "celery", (469, 79)),
        Way([(420, 155), (510, 155)], "export", (469, 149)),
        Way([(420, 165), (465, 165), (465, 237), (510, 237)], "# every task", (430, 256), True),
        Way([(660, 87), (705, 87), (705, 111), (750, 111)]),
        Way([(660, 155), (705, 155), (705, 131), (750, 131)]),
        Way([(660, 237), (750, 237)], is_ours=True),
        Way([(783, 266), (783, 330)], is_ours=True),
        Way([(900, 121), (912, 121), (912, 330)]),
    ]


def panels() -> list[Box]:
    return [
        Box(20, 20, 190, 262, "who sends"),
        Box(250, 20, 430, 262, "the broker"),
        Box(730, 20, 200, 262, "who listens"),
        Box(626, 298, 304, 84, "the database"),
    ]


def picture() -> str:
    return "".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>\n',
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
            f' width="{_WIDTH}" height="{_HEIGHT}" role="img" font-family="{FONTS}">\n',
            f"<title>{escape(TITLE)}</title>\n",
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="{BACKGROUND}"/>\n',
            *(part for panel in panels() for part in _panel(panel)),
            *(part for way in ways() for part in _way(way)),
            *(part for box in boxes() for part in _box(box)),
            "</svg>\n",
        ]
    )


def _panel(panel: Box) -> Iterator[str]:
    yield _rectangle(panel, PANEL_FILL, PANEL_LINE, 8)
    yield _text(panel.x + 12, panel.y + 22, 12.0, NOTE_INK, panel.name, "start")


def _box(box: Box) -> Iterator[str]:
    fill, line = _OURS if box.is_ours else _OTHER
    yield _rectangle(box, fill, line, 6)
    y = box.y + box.tall / 2 - len(box.notes) * _LINE / 2 + 5
    middle = box.x + box.wide / 2
    yield _text(middle, y, 14.0, NAME_INK, box.name, "middle", ' font-weight="600"')
    for count, note in enumerate(box.notes, 1):
        yield _text(middle, y + count * _LINE, 12.0, NOTE_INK, note, "middle")


def _way(way: Way) -> Iterator[str]:
    ink = _OURS[1] if way.is_ours else EDGE
    spots = "L".join(f"{x} {y}" for x, y in way.spots)
    head = arrow_head(tuple((float(x), float(y)) for x, y in way.spots))
    yield f'<path d="M{spots}" fill="none" stroke="{ink}" stroke-width="1.4"/>\n'
    yield f'<path d="{head}" fill="{ink}"/>\n'
    if way.says:
        yield _text(*way.at, 12.0, NOTE_INK, way.says, "start")


def _rectangle(box: Box, fill: str, line: str, radius: int) -> str:
    return (
        f'<rect x="{box.x}" y="{box.y}" width="{box.wide}" height="{box.tall}" rx="{radius}"'
        f' fill="{fill}" stroke="{line}" stroke-width="1.4"/>\n'
    )


def _text(x: float, y: float, size: float, ink: str, text: str, anchor: str, more: str = "") -> str:
    return (
        f'<text x="{number(x)}" y="{number(y)}" font-size="{number(size)}" fill="{ink}"'
        f' text-anchor="{anchor}"{more}>{escape(text)}</text>\n'
    )


def main() -> None:
    PICTURE.write_text(picture(), "utf-8")


if __name__ == "__main__":
    main()
