"""The PNG is the SVG, rasterised within bounds."""

import struct
import sys
import zlib

import pytest

from headway.errors import Unavailable
from headway.jobs.states import JobState
from headway.pictures import Graph, png
from headway.pictures.drawing import drawing_of

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunks(picture: bytes) -> list[tuple[bytes, bytes]]:
    assert picture.startswith(SIGNATURE)
    found, at = [], len(SIGNATURE)
    while at < len(picture):
        (length,) = struct.unpack_from(">I", picture, at)
        kind, body = picture[at + 4 : at + 8], picture[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", picture, at + 8 + length)
        assert checksum == zlib.crc32(kind + body)
        found.append((kind, body))
        at += 12 + length
    return found


def size(picture: bytes) -> tuple[int, int]:
    kind, body = chunks(picture)[0]
    assert kind == b"IHDR"
    width, height = struct.unpack_from(">II", body)
    return width, height


def graph(count: int, state: JobState = JobState.PASSED, name: str = "job") -> Graph:
    needs = [[key - 1] if key else [] for key in range(count)]
    return Graph([f"{name} {key}" for key in range(count)], needs, [state] * count)


def test_a_small_picture_is_twice_as_fine_as_the_drawing() -> None:
    drawing = drawing_of(graph(5), full=False)
    width, height = size(png(graph(5)))
    assert width == round(drawing.width * 2)
    assert abs(height - drawing.height * 2) <= 1


def test_a_huge_picture_stays_within_its_pixels() -> None:
    width, height = size(png(graph(450)))
    assert width * height < 12_100_000


def test_the_picture_ends_where_a_png_ends() -> None:
    assert chunks(png(graph(3)))[-1] == (b"IEND", b"")


def test_two_states_give_two_pictures_and_one_graph_gives_one() -> None:
    assert png(graph(3)) == png(graph(3))
    assert png(graph(3)) != png(graph(3, JobState.FAILED))


def test_names_in_any_script_are_drawn_or_stand_as_frames() -> None:
    plain = png(graph(1, name="部署"))
    assert size(plain)
    assert plain != png(graph(1, name=""))


@pytest.mark.parametrize("missing", ["resvg_py", "font_source_sans_pro"])
def test_without_the_extra_the_error_names_the_line_to_type(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(Unavailable, match=r"pip install 'headway\[png\]'"):
        png(graph(1))
