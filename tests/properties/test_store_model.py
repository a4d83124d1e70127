"""A store in SQLite is like one in plain dictionaries, whatever is done to it."""

import shutil
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from headway.adapters.opening import open_store
from headway.ports.store import Store
from tests.properties.store_machine import StoreMachine


def test_sqlite_and_the_model_say_the_same(tmp_path: Path) -> None:
    empty, place = tmp_path / "empty.db", tmp_path / "s.db"
    open_store(empty).close()

    class Machine(StoreMachine):
        @staticmethod
        def open_store() -> Store:
            shutil.copyfile(empty, place)
            return open_store(place)

    run_state_machine_as_test(Machine, settings=settings(max_examples=60, deadline=None))
