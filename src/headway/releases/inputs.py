"""What a playbook is to be given when it is carried out: declared, checked, converted."""

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from headway.errors import DefinitionError, WireError
from headway.releases.document import flaw_of
from headway.releases.fields import nearest
from headway.wire import strict_json
from headway.wire.shapes import shown


class Required(Enum):
    """That an input has no default."""

    REQUIRED = "required"

    def __repr__(self) -> str:
        return self.name


REQUIRED = Required.REQUIRED
# Each type, and what a value of it is called.
WANTED = {
    "text": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "list": "a list",
    "object": "an object",
}
TYPES = tuple(WANTED)

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:.+")


class Input(NamedTuple):
    """One input. A secret is a text, and its default a reference (``env:…``, ``file:…``)."""

    name: str
    type: str = "text"  # one of TYPES
    default: Any = REQUIRED
    secret: bool = False
    choices: tuple[Any, ...] = ()  # empty: any value of the type

    def __repr__(self) -> str:
        default = "…" if self.secret and self.default is not REQUIRED else repr(self.default)
        return (
            f"Input(name={self.name!r}, type={self.type!r}, default={default},"
            f" secret={self.secret}, choices={self.choices!r})"
        )


class WrongInputs(DefinitionError):
    """What was given is not what the playbook needs: everything that is wrong with it."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def resolved(
    inputs: Iterable[Input], dynamic: Iterable[str], given: Mapping[str, Any]
) -> dict[str, Any]:
    """What every step is to be sent: what was given, converted and checked, and the defaults.

    ``dynamic``: the names that steps ask for; one that is not declared must be given, with any
    value. A playbook that declares no inputs is sent whatever is given beyond that. Secrets come
    out as they were given, references unresolved. Raises: WrongInputs; no secret is in it.
    """
    declared = {one.name: one for one in inputs}
    asked = dict.fromkeys([*declared, *dynamic])
    found: dict[str, Any] = {}
    problems: list[str] = []
    for name in asked:
        try:
            found[name] = _value(declared.get(name, Input(name)), name in declared, given)
        except _Wrong as wrong:
            problems.append(f"input {name!r} {wrong}")
    for name in given:
        if name in asked:
            continue
        if declared:
            near = nearest(name, asked)
            hint = f"Did you mean {near}?" if near else f"The playbook has {', '.join(asked)}"
            problems.append(f"input {name!r} is unknown. {hint}")
        elif flaw := flaw_in(given[name]):
            problems.append(f"input {name!r} {flaw}")
        else:
            found[name] = given[name]
    if problems:
        raise WrongInputs(problems)
    return found


def is_of(value: Any, type_: str) -> bool:
    """Whether a JSON value is of a type of inputs."""
    match type_:
        case "text":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "list":
            return isinstance(value, list)
        case _:
            return isinstance(value, Mapping)


def is_reference(text: str) -> bool:
    """Whether a text says where a secret is: ``env:NAME`` or ``file:PATH``."""
    return _REFERENCE.fullmatch(text) is not None


def flaw_in(value: Any) -> str | None:
    """Why a value cannot be sent; None when it can."""
    if isinstance(value, str):
        return flaw_of(value)
    try:
        body = strict_json.encode(value, "it")
    except WireError as error:
        return f"cannot be sent: {error}"
    return "holds the character NUL" if re.search(rb"(?<!\\)(?:\\\\)*\\u0000", body) else None


class _Wrong(Exception):
    """What is wrong with an input, and what to do."""


def _value(one: Input, is_declared: bool, given: Mapping[str, Any]) -> Any:
    choices = ", ".join(shown(choice) for choice in one.choices)
    if one.name not in given:
        if one.default is REQUIRED:
            hint = f", one of {choices}" if choices else ""
            raise _Wrong(f"is missing. Give it with --set {one.name}=VALUE{hint}")
        return one.default
    value = given[one.name]
    if flaw := flaw_in(value):
        raise _Wrong(f"{flaw}. Give another")
    if not is_declared:
        return value
    if isinstance(value, str) and one.type != "text":
        value = _said_by(value)
    if not is_of(value, one.type):
        raise _Wrong(f"is {_shown(value, one)}, not {WANTED[one.type]}. {_example(one)}")
    if one.choices and value not in one.choices:
        raise _Wrong(f"is {_shown(value, one)}. Choose one of {choices}")
    return value


def _said_by(text: str) -> Any:
    """What a text says as JSON; the text itself when it is none."""
    try:
        return strict_json.parse(text.encode())
    except WireError:
        return text


def _example(one: Input) -> str:
    match one.type:
        case "list":
            return f"""Give it as JSON: --set {one.name}='["a", "b"]'"""
        case "object":
            return f"""Give it as JSON: --set {one.name}='{{"a": 1}}'"""
        case _:
            return f"Give {WANTED[one.type]}"


def _shown(value: Any, one: Input) -> str:
    """Of a secret, the kind only."""
    return f"a {type(value).__name__}" if one.secret else shown(value)
