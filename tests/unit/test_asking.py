"""What somebody asks of a run is answered by its owner, or carried out where there is none."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from headway.adapters.inline import Inline
from headway.adapters.opening import open_store
from headway.adapters.sql_store import SqlStore
from headway.errors import Conflict, Rejected, Unavailable
from headway.jobs.compiling import compile_jobs
from headway.jobs.job import Job
from headway.jobs.states import RunState
from headway.ports.store import RunRecord
from headway.runtime import asking
from headway.runtime.launching import Options, begin
from headway.runtime.loading import Loaded


class Alone(Job):
    def Check(self) -> None: ...


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(open_store(tmp_path / "headway.db")) as found:
        yield found


@pytest.fixture
def record(store: SqlStore) -> RunRecord:
    """A run that has begun, and whose owner (this process) does not look."""
    compiled = compile_jobs(Alone)
    begin(store, Loaded("alone.py", compiled.plan, compiled.definitions, {}), Inline(), Options())
    return store.find(None)


def test_an_owner_that_does_not_answer_is_named(store: SqlStore, record: RunRecord) -> None:
    with pytest.raises(Unavailable, match=f"{record.owner} has not answered for 0.1 s"):
        asking.asked(store, record, "cancel", {"why": ""}, patience_s=0.1)
    (request,) = store.asked(record.id)
    assert request.verb == "cancel"


def test_an_answer_that_refuses_is_an_error(store: SqlStore, record: RunRecord) -> None:
    ask = store.ask

    def answered_at_once(*words: object) -> int:
        number = ask(*words)  # type: ignore[arg-type]
        store.append(record.id, 1, 1, 2, [], answers=[(number, "refused: no")])
        return number

    store.ask = answered_at_once  # type: ignore[method-assign, assignment]
    with pytest.raises(Rejected, match="refused: no"):
        asking.asked(store, record, "settle", {"key": 0, "how": "done"})


def test_a_job_that_is_not_in_doubt_is_not_settled(store: SqlStore, record: RunRecord) -> None:
    with pytest.raises(Rejected, match="Alone is not in doubt, it is pending"):
        asking.settle(store, record, 0, "done", "")


def test_a_run_that_was_taken_meanwhile_is_not_closed(store: SqlStore, record: RunRecord) -> None:
    asking.close(store, record, "enough")
    assert store.find(None).state is RunState.CANCELLED
    with pytest.raises(Conflict):
        asking.close(store, record, "again")
