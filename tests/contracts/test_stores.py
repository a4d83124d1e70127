"""Every store keeps the contract: in memory, in a file, on a server."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headway.adapters.opening import open_store
from headway.ports.store import Store
from headway.testing.memory import MemoryStore
from headway.testing.stores import StoreContract

if TYPE_CHECKING:
    from tests.services.postgres import Postgres


class TestMemory(StoreContract):
    @pytest.fixture
    def open_another(self) -> Callable[[], Store]:
        store = MemoryStore()
        return lambda: store


class TestSqlite(StoreContract):
    @pytest.fixture
    def open_another(self, tmp_path: Path) -> Callable[[], Store]:
        return lambda: open_store(tmp_path / "headway.db")


@pytest.mark.services
class TestPostgres(StoreContract):
    @pytest.fixture
    def open_another(self, postgres: "Postgres") -> Callable[[], Store]:
        return lambda: open_store(postgres.url)
