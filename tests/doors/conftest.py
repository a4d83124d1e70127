"""A place to type commands in."""

from pathlib import Path

import pytest

from tests.doors.typed import Place

TWO_JOBS = """
    from pathlib import Path
    from headway import Job

    class Folder(Job):
        def Check(self):
            assert Path("notes").is_dir(), "there is no folder notes"
        def Run(self):
            Path("notes").mkdir()
            self.output.info("made notes")

    class Welcome(Job):
        DEPS = (Folder,)
        def Check(self):
            assert Path("notes/welcome.txt").exists(), "nobody has written the welcome"
        def Run(self):
            Path("notes/welcome.txt").write_text("Hello!")
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def two_jobs(place: Place) -> Place:
    """A place where hello.py holds two jobs, one of which needs the other."""
    place.write("hello.py", TWO_JOBS)
    return place
