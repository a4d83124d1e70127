"""What the parts of a store over SQL share: one connection, and its lock."""

from typing import Any

from headway.adapters.database import Database
from headway.adapters.exclusive_use import ExclusiveUse


class SqlPart:
    """A part of a store. Thread-safe as the whole."""

    def __init__(self, database: Database, use: ExclusiveUse) -> None:
        self._database = database
        self._use = use

    @property
    def place(self) -> str:
        return self._database.place

    def _query(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with self._use:
            return self._database.query(sql, **parameters)

    def _change(self, sql: str, **parameters: Any) -> int:
        with self._use, self._database.transaction():
            return self._database.change(sql, **parameters)
