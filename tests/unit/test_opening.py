"""What a user may call a store."""

from contextlib import closing
from pathlib import Path

import pytest

from headway.adapters.database import newest_version
from headway.adapters.opening import open_store, path_of
from headway.errors import Rejected


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("runs.db", "runs.db"),
        ("/srv/runs.db", "/srv/runs.db"),
        ("sqlite:///runs.db", "runs.db"),
        ("sqlite:////srv/runs.db", "/srv/runs.db"),
        ("SQLite:///a%20b/runs.db", "a b/runs.db"),
        ("odd name: 100%.db", "odd name: 100%.db"),
    ],
)
def test_a_file_is_a_path_or_a_url(name: str, path: str) -> None:
    assert path_of(name) == Path(path)


def test_a_home_directory_may_be_told_by_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert path_of("~/runs.db") == Path("/home/somebody/runs.db")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "  ",
        ":memory:",
        "nul\0.db",
        "mysql://me:secret@host/db",
        "sqlite://host/runs.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///runs.db?mode=ro",
        "https://example.org/runs.db",
    ],
)
def test_what_names_no_store_gets_one_clear_sentence(name: str) -> None:
    with pytest.raises(
        Rejected, match="a store is a path, sqlite:///path or postgresql://"
    ) as told:
        open_store(name)
    assert "secret" not in str(told.value)


def test_a_store_opens_by_path_text_and_url_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (tmp_path / "s.db", str(tmp_path / "s.db"), f"sqlite:///{tmp_path}/s.db", "s.db"):
        with closing(open_store(name)) as store:
            assert store.version() == newest_version("sqlite")
    assert {path.name for path in tmp_path.iterdir()} == {"s.db"}
