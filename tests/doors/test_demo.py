"""The README's first command, typed in a fresh copy of the repository."""

import os
import shutil
import subprocess
from pathlib import Path

from examples.ship_site.layout import Site
from tests.conftest import RequireService
from tests.doors.shipping import free_port

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 300.0  # it makes an environment


def test_the_demo_sets_up_and_releases_and_then_has_nothing_to_do(
    tmp_path: Path, require_service: RequireService
) -> None:
    copy = tmp_path / "a copy"
    made_here = shutil.ignore_patterns(".*", "__pycache__", "ship-site")
    shutil.copytree(REPOSITORY, copy, ignore=made_here)
    site = Site(copy / "ship-site", free_port())
    try:
        first = demo(copy, site)
        failed = "setting up failed" in first.stderr
        require_service("package index", not failed, "pip could not install what Headway needs")
        assert "Running repaired" in first.stdout, first.stderr
        assert first.returncode == 0
        assert site.health()["status"] == "ok"
        second = demo(copy, site)
        assert second.stdout.startswith("nothing to do: ")
        assert (second.returncode, second.stderr) == (0, "")
    finally:
        site.stop()


def demo(copy: Path, site: Site) -> subprocess.CompletedProcess[str]:
    home = copy.parent / "home"
    home.mkdir(exist_ok=True)
    kept = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONFIG_FILE", "PYTHON")
    return subprocess.run(
        ["./demo", "--set", f"port={site.port}"],
        cwd=copy,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            **{name: os.environ[name] for name in kept if name in os.environ},
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
