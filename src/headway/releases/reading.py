"""From a document to a playbook, or to everything that is wrong with it at once."""

from collections.abc import Iterable
from typing import Any

from headway.releases.document import WHOLE, Document, DocumentError
from headway.releases.fields import Field
from headway.releases.inputs import REQUIRED, TYPES, WANTED, Input, is_of, is_reference
from headway.releases.playbook import NAME_CHARACTERS, HostSequence, Playbook
from headway.releases.step_reading import step_of
from headway.wire.shapes import shown

# The keys of each object. docs/reference/playbook.md tells each of them.
PLAYBOOK_KEYS = ("group", "name", "execution", "inputs", "lock")
SEQUENCE_KEYS = ("description", "hosts", "steps", "preflight", "parallel")
INPUT_KEYS = ("name", "type", "default", "secret", "choices")

_HOSTS = "Write a list of names, such as [localhost]"
_STEPS = "Write a list of steps, such as [noop:Hello]"
_SEQUENCES = "Write a list of sequences, each with hosts and steps"
_INPUTS = "Write a list of inputs, each a name or an object with the key name"
_NAMES = "Write a list of texts"


# Of the language of playbooks: 1 more whenever an older Headway would misread what a newer reads.
FORMAT = 1


def playbook_of(document: Document, *, group: str | None = None) -> Playbook:
    """``group``: it must be this one's. Raises: DocumentError with every problem of it."""
    problems = list(document.problems)
    playbook = _playbook(Field(document.root, WHOLE, problems), group)
    if problems:
        raise DocumentError(document.place, problems)
    return playbook


def _playbook(field: Field, group: str | None) -> Playbook:
    found = field.known(
        PLAYBOOK_KEYS,
        "a playbook",
        "Write an object with group, name and execution",
        [
            ("group", "Write group: and whose playbook it is"),
            ("name", "Write name: and what it does, in a few words"),
            ("execution", _SEQUENCES),
        ],
    )
    if group is not None and "group" in found:
        _require_group(found["group"], group)
    return Playbook(
        group=found["group"].text(longest=NAME_CHARACTERS) if "group" in found else "",
        name=found["name"].text(longest=NAME_CHARACTERS) if "name" in found else "",
        execution=tuple(
            _sequence(item)
            for item in _items(found.get("execution"), _SEQUENCES, "Write at least one sequence")
        ),
        inputs=_inputs(found["inputs"]) if "inputs" in found else (),
        lock=found["lock"].texts(_NAMES, twice="Take one of the two out")
        if "lock" in found
        else (),
    )


def _require_group(field: Field, group: str) -> None:
    """A stored playbook never becomes another group's: who may change it would change too."""
    value = field.located.value
    if isinstance(value, str) and value.strip() and value != group:
        field.wrong(
            f"is {shown(value)}, and this playbook is of group {shown(group)}",
            f"Write {shown(group)}, or add it as another playbook",
        )


def _sequence(field: Field) -> HostSequence:
    found = field.known(
        SEQUENCE_KEYS,
        "a sequence",
        "Write an object with hosts and steps",
        [("hosts", _HOSTS), ("steps", _STEPS)],
    )
    preflight = found.get("preflight")
    parallel = found["parallel"].whole(least=1) if "parallel" in found else 1
    return HostSequence(
        description=found["description"].text() if "description" in found else "",
        hosts=found["hosts"].texts(
            _HOSTS,
            empty="Name at least one host, such as localhost",
            twice="Take one of the two out, or write another sequence",
        )
        if "hosts" in found
        else (),
        steps=_steps(found.get("steps"), "Write at least one step"),
        preflight=_steps(preflight, "Write at least one step, or leave preflight out"),
        parallel=parallel or 1,
    )


def _steps(field: Field | None, empty: str) -> Any:
    return tuple(step_of(item) for item in _items(field, _STEPS, empty))


def _items(field: Field | None, remedy: str, empty: str) -> Iterable[Field]:
    return () if field is None else field.items(remedy, empty=empty)


def _inputs(field: Field) -> tuple[Input, ...]:
    found: dict[str, Input] = {}
    for item in field.items(_INPUTS):
        one = _input(item)
        if one.name and one.name in found:
            item.wrong(f"{shown(one.name)} is there already", "Take one of the two out")
        found[one.name] = one
    return tuple(found.values())


def _input(field: Field) -> Input:
    if isinstance(field.located.value, str):
        return Input(_input_name(field))
    found = field.known(
        INPUT_KEYS, "an input", "Write its name, or an object with the key name",
        [("name", "Write name: and the name to give it by")],
    )  # fmt: skip
    secret = found["secret"].flag() if "secret" in found else False
    if "secret" in found and found["secret"].located.value is not secret:
        # Nobody knows whether they may be shown.
        found = {key: one for key, one in found.items() if key not in ("default", "choices")}
    type_ = (found["type"].one_of(TYPES) if "type" in found else None) or "text"
    if secret and type_ != "text":
        found["type"].wrong(f"is {type_}, but secrets are texts", "Write text, or leave type out")
        type_ = "text"
    choices = _choices(found["choices"], type_, is_secret=secret) if "choices" in found else ()
    return Input(
        name=_input_name(found["name"]) if "name" in found else "",
        type=type_,
        default=_default(found["default"], type_, choices, is_secret=secret)
        if "default" in found
        else REQUIRED,
        secret=secret,
        choices=choices,
    )


def _input_name(field: Field) -> str:
    name = field.text()
    if name.strip() and not (name.isidentifier() and name.isascii()):
        what = f"{shown(name)} is no name for an input"
        field.wrong(what, "Write letters, digits and _, no digit first")
    return name


def _choices(field: Field, type_: str, *, is_secret: bool) -> tuple[Any, ...]:
    if is_secret:
        field.wrong("is not for a secret: choices are shown", "Leave choices out")
        return ()
    remedy = "Write a list of the values that may be given"
    found: list[Any] = []
    for item in field.items(remedy, empty=remedy):
        value = item.located.plain()
        if not _has_type(item, value, type_):
            continue
        if value in found:
            item.wrong("is there already", "Take one of the two out")
        found.append(value)
    return tuple(found)


def _default(field: Field, type_: str, choices: tuple[Any, ...], *, is_secret: bool) -> Any:
    value = field.located.plain()
    if is_secret:
        # What is wrong with it is said without showing it.
        if not (isinstance(value, str) and is_reference(value)):
            what = "is not a reference, and a secret does not stand in a playbook"
            field.wrong(what, "Write env:NAME or file:PATH, or leave default out")
        return value
    if _has_type(field, value, type_) and choices and value not in choices:
        field.wrong("is none of the choices", "Write one of them")
    return value


def _has_type(field: Field, value: Any, type_: str) -> bool:
    if is_of(value, type_):
        return True
    field.mistyped(WANTED[type_], f"Write {WANTED[type_]}, or another type")
    return False
