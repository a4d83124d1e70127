"""Keeps values that nobody is to see out of what is told and written of a run."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from headway.jobs.outcomes import Failure
from headway.jobs.shared import Changes

SHORTEST = 4  # characters of a value that is looked for: shorter ones are found everywhere
REDACTED = "[redacted]"
E = TypeVar("E")


class Redaction:
    """Replaces values, and each line of them, wherever they stand in a text."""

    def __init__(self, values: Iterable[str]) -> None:
        lines = {line for value in values for line in (value, *value.splitlines())}
        wanted = sorted((one for one in lines if len(one) >= SHORTEST), key=len, reverse=True)
        self._wanted = re.compile("|".join(map(re.escape, wanted))) if wanted else None

    def text(self, text: str) -> str:
        return self._wanted.sub(REDACTED, text) if self._wanted is not None else text

    def event(self, event: E) -> E:
        """An event, or anything of named fields, without the values."""
        if self._wanted is None:
            return event
        fields: dict[str, Any] = event._asdict()  # type: ignore[attr-defined]
        changed = {
            name: after for name, value in fields.items() if (after := self._of(value)) is not value
        }
        return event._replace(**changed) if changed else event  # type: ignore[attr-defined]

    def _of(self, value: Any) -> Any:
        if type(value) is str:
            return self.text(value)
        if isinstance(value, (Failure, Changes)):
            return self.event(value)
        if isinstance(value, BaseException):
            return None  # the exception of a failure, which has its own text
        if isinstance(value, Mapping):
            return {self.text(key): self._of(one) for key, one in value.items()}
        if type(value) in (list, tuple):
            return type(value)(map(self._of, value))
        return value
