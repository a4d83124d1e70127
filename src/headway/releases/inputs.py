"""What a playbook is to be given when it is carried out: declared, checked, converted."""

from enum import Enum
from typing import Any, NamedTuple


class Required(Enum):
    """That an input has no default."""

    REQUIRED = "required"

    def __repr__(self) -> str:
        return self.name


REQUIRED = Required.REQUIRED
TYPES = ("text", "integer", "number", "boolean", "list", "object")


class Input(NamedTuple):
    """One input. A secret is a text, and its default a reference (``env:…``, ``file:…``)."""

    name: str
    type: str = "text"  # one of TYPES
    default: Any = REQUIRED
    secret: bool = False
    choices: tuple[Any, ...] = ()  # empty: any value of the type
