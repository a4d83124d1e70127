"""The functional tests of a Celery app, as its author runs them."""

import subprocess
import sys
from pathlib import Path


def test_unittest_and_pytest_find_them(tmp_path: Path) -> None:
    (tmp_path / "proj").mkdir()
    (tmp_path / "proj/__init__.py").write_text("")
    (tmp_path / "proj/celery.py").write_text(
        "from celery import Celery\n"
        "from cadasta.workertoolbox.conf import Config\n"
        "app = Celery('proj')\n"
        "app.config_from_object(Config(queues=['export'], broker_url='memory://',\n"
        "                              result_backend='db+sqlite:///results.db'))\n"
    )
    (tmp_path / "proj/tests.py").write_text(
        "from cadasta.workertoolbox.tests import build_functional_tests\n"
        "from .celery import app\n"
        "FunctionalTests = build_functional_tests(app)\n"
    )
    for command in (["unittest"], ["pytest", "-q", "-p", "no:cacheprovider"]):
        outcome = subprocess.run(
            [sys.executable, "-W", "error", "-m", *command, "proj/tests.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        said = outcome.stdout + outcome.stderr
        assert outcome.returncode == 0, said
        assert "Ran 12 tests" in said or "12 passed" in said
