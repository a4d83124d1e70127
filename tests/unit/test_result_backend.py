"""Our result backend says at once what it cannot do."""

import pickle
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from headway.errors import DefinitionError


def backend_of(**settings: Any) -> Any:
    with closing(Celery("results", broker="memory://", set_as_current=False)) as app:
        app.conf.update(settings)
        return app.backend


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a database that is none of ours": (
        {"result_backend": "headway+mysql://user:s3cr3t@host/results"},
        "headway+postgresql://user@host/database or headway+sqlite:///path",
    ),
    "a driver of SQLAlchemy's": (
        {"result_backend": "headway+postgresql+psycopg://host/results"},
        "nothing else after headway+",
    ),
    "a database in memory": (
        {"result_backend": "headway+sqlite:///:memory:"},
        "result_backend cannot be used",
    ),
    "pickles": (
        {"result_backend": "headway+sqlite:///results.db", "result_serializer": "pickle"},
        "set it to 'json'",
    ),
    "tables by other names": (
        {"result_backend": "headway+sqlite:///r.db", "database_table_names": {"task": "mine"}},
        "remove database_table_names",
    ),
    "tables elsewhere": (
        {"result_backend": "headway+sqlite:///r.db", "database_table_schemas": {"task": "mine"}},
        "remove database_table_schemas",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_it_cannot_do_is_said_before_the_first_result(case: str) -> None:
    settings, said = WRONG[case]
    with pytest.raises(DefinitionError) as raised:
        backend_of(**settings)
    assert said in str(raised.value)
    assert "s3cr3t" not in str(raised.value)


def test_making_one_opens_nothing(tmp_path: Path) -> None:
    backend_of(result_backend=f"headway+sqlite:///{tmp_path / 'results.db'}")
    assert list(tmp_path.iterdir()) == []


def test_its_name_has_no_password() -> None:
    backend = backend_of(result_backend="headway+postgresql://user:s3cr3t@host/results")
    assert backend.as_uri() == "postgresql://user:**@host/results"


def test_settings_of_retries_win(tmp_path: Path) -> None:
    url = f"headway+sqlite:///{tmp_path / 'results.db'}"
    backend = backend_of(
        result_backend=url, result_backend_always_retry=False, result_backend_max_retries=3
    )
    assert (backend.always_retry, backend.max_retries) == (False, 3)
    assert backend_of(result_backend=url).always_retry


def test_it_travels_to_another_process(tmp_path: Path) -> None:
    backend = backend_of(result_backend=f"headway+sqlite:///{tmp_path / 'results.db'}")
    make, (kind, args, kwargs) = backend.__reduce__()
    assert callable(make)
    assert pickle.loads(pickle.dumps(kind)) is type(backend)
    assert (args, kwargs) == ((), {"url": backend.url})
