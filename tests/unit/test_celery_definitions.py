"""How jobs travel to Celery workers."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from headway.adapters.celery_tries.definitions import definition_of, described
from headway.errors import DefinitionError
from headway.jobs.job import DummyJob, Job
from headway.releases.compiling import HostedJob
from headway.testing.sample_jobs import Repairs


class Tells(Job):
    WORD = ""

    def Check(self, **inputs: Any) -> str:
        return self.WORD


def test_a_class_of_a_module_is_imported_from_there() -> None:
    parts = described(Repairs)
    assert parts == {"module": "headway.testing.sample_jobs", "class": "Repairs", "made": []}
    assert definition_of(parts, "w1@here") is Repairs


def test_a_class_made_on_the_fly_takes_along_what_json_can_carry() -> None:
    made = type("Tell it", (Tells,), {"WORD": "hello", "DEPS": (Repairs,), "TAGS": ("a",)})
    again = type("Tell it louder", (made,), {"LEVELS": [1, {"a": None}]})
    cls = definition_of(described(again), "w1@here")
    assert (cls.__name__, cls.WORD, cls.LEVELS) == ("Tell it louder", "hello", [1, {"a": None}])
    assert issubclass(cls, Tells)


def test_a_group_made_on_the_fly_leaves_what_it_needs_behind() -> None:
    root = type("All", (DummyJob,), {"DEPS": (Repairs,)})
    assert definition_of(described(root), "w1@here").DEPS == ()


def test_a_hosted_job_knows_its_host() -> None:
    job = definition_of(described(HostedJob(Tells, "web1", "Tells@web1")), "w1@here")()
    assert (type(job), job.host) == (Tells, "web1")


def test_a_targets_file_is_imported_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("headway_target_jobs")
    module.__file__ = "/somewhere/jobs.py"
    cls = type("Makes", (Job,), {"__module__": module.__name__})
    module.Makes = cls  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert described(cls) == {"module": "jobs", "class": "Makes", "made": []}


def test_a_file_in_a_package_is_a_module_of_that(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / "shop" / "jobs"
    place.mkdir(parents=True)
    for package in (place, place.parent):
        (package / "__init__.py").touch()
    module = ModuleType("headway_target_build")
    module.__file__ = str(place / "build.py")
    cls = type("Makes", (Job,), {"__module__": module.__name__})
    module.Makes = cls  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert described(cls)["module"] == "shop.jobs.build"


def test_a_module_that_leaves_when_it_is_imported_is_an_error_like_any(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "leaving_script.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DefinitionError, match=r"\(SystemExit: 3\)"):
        definition_of({"module": "leaving_script", "class": "Any", "made": []}, "w1@here")


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        (type("Odd", (Tells,), {"Run": lambda self: None}), "Odd.Run is a function"),
        (type("Odd", (Tells,), {"SET": {1}}), "Odd.SET is a set"),
        (type("Odd", (Tells, Repairs), {}), "from 2 classes"),
        ("Odd", "no job class"),
    ],
)
def test_what_cannot_travel_is_refused_with_its_name(definition: Any, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        described(definition)


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        ("no_such_module_at_all", "Repairs", "worker w1@here cannot import no_such_module_at_all"),
        ("headway.testing.sample_jobs", "NoSuch", "has no job class NoSuch"),
        ("headway.testing.sample_jobs", "Path", "has no job class Path"),
    ],
)
def test_what_a_worker_does_not_have_is_said(module: str, name: str, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        definition_of({"module": module, "class": name, "made": []}, "w1@here")
