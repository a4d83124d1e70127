"""A release says what changed, under a version that is not older than the last."""

import pytest
from packaging.version import Version

from tools.release import NotReleased, parse_version, with_release, with_version

CHANGELOG = """# Changelog

## [Unreleased]

### Added

- A thing.

## [0.1.0] - 2026-01-01

- The first.
"""


def test_what_was_unreleased_moves_under_the_version() -> None:
    changelog, changes = with_release(CHANGELOG, Version("0.2.0"), "2026-02-02")
    assert changes == "### Added\n\n- A thing."
    assert changelog == CHANGELOG.replace(
        "## [Unreleased]\n", "## [Unreleased]\n\n## [0.2.0] - 2026-02-02\n"
    )


def test_the_first_release_ends_the_changelog() -> None:
    first = CHANGELOG.partition("\n## [0.1.0]")[0]
    changelog, _ = with_release(first, Version("0.1.0"), "2026-02-02")
    assert changelog.endswith("## [0.1.0] - 2026-02-02\n\n### Added\n\n- A thing.\n")


def test_there_is_no_release_of_nothing() -> None:
    changelog, _ = with_release(CHANGELOG, Version("0.2.0"), "2026-02-02")
    with pytest.raises(NotReleased, match="say what changed"):
        with_release(changelog, Version("0.3.0"), "2026-02-03")


@pytest.mark.parametrize("version", ["0.2.0", "0.1.0", "1.0.0rc1"])
def test_the_version_is_written_into_the_package(version: str) -> None:
    source = with_version('"""Doc."""\n\n__version__ = "0.1.0"\n', Version(version))
    assert source == f'"""Doc."""\n\n__version__ = "{version}"\n'


def test_a_version_older_than_the_last_is_refused() -> None:
    with pytest.raises(NotReleased, match="older"):
        with_version('__version__ = "0.2.0"\n', Version("0.1.9"))


@pytest.mark.parametrize("text", ["v1.0", "1.0.0-rc1", "new", ""])
def test_a_version_is_written_in_one_way_only(text: str) -> None:
    with pytest.raises(NotReleased):
        parse_version(text)
