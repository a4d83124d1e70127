"""What is published is complete, ours alone, and the same bytes whenever it is built."""

from pathlib import Path
from zipfile import ZipFile

import pytest

import headway
from tools.release import NotReleased, build, verify_source, verify_wheel


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return build(tmp_path_factory.mktemp("dist"))


def test_the_archives_hold_what_they_should(archives: list[Path]) -> None:
    wheel, source = sorted(archives, key=lambda file: file.suffix, reverse=True)
    verify_source(source, headway.__version__)
    verify_wheel(wheel, headway.__version__)


def test_a_wheel_with_a_stranger_in_it_is_refused(archives: list[Path], tmp_path: Path) -> None:
    (wheel,) = (file for file in archives if file.suffix == ".whl")
    planted = tmp_path / wheel.name
    planted.write_bytes(wheel.read_bytes())
    with ZipFile(planted, "a") as archive:
        archive.writestr("tests/__init__.py", "")
    with pytest.raises(NotReleased, match="tests"):
        verify_wheel(planted, headway.__version__)
