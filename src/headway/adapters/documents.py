"""Documents that people hand in, YAML or JSON, to located values."""

from collections.abc import Callable
from pathlib import Path

from headway.errors import DefinitionError
from headway.releases.document import (
    LIMIT_BYTES,
    UNREAD,
    WHOLE,
    Document,
    Located,
    Position,
    Problem,
    Unreadable,
    too_large,
)

NOTATIONS = {".yaml": "YAML", ".yml": "YAML", ".json": "JSON"}  # by the end of a file's name


def notation_of(path: Path, noun: str = "playbook") -> str:
    """``noun``: what it is to be. Raises: DefinitionError for a file that is neither."""
    try:
        return NOTATIONS[path.suffix.lower()]
    except KeyError:
        raise DefinitionError(
            f"{path} is no {noun} by its name: it must end in {', '.join(NOTATIONS)}"
        ) from None


def read_file(path: Path, noun: str = "playbook") -> Document:
    """Raises: OSError, DefinitionError for a file of another name."""
    notation = notation_of(path, noun)
    with path.open("rb") as file:
        return read(file.read(LIMIT_BYTES + 1), notation, str(path))


def read(body: bytes, notation: str, place: str) -> Document:
    """A document in UTF-8, with or without byte order mark. Raises nothing: what is wrong is
    in it. ``notation``: YAML or JSON. ``place``: its file, or what else people call it."""
    if len(body) > LIMIT_BYTES:
        return _unread(place, too_large())
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _unread(place, _not_utf8(error))
    try:
        root, problems = _reader(notation)(text)
    except Unreadable as unreadable:
        return _unread(place, unreadable.problem)
    return Document(place, root, tuple(problems))


def _reader(notation: str) -> Callable[[str], tuple[Located, list[Problem]]]:
    if notation == "JSON":
        from headway.releases.json_document import read_json

        return read_json
    from headway.adapters.yaml_document import read_yaml

    return read_yaml


def _unread(place: str, problem: Problem) -> Document:
    return Document(place, Located(UNREAD), (problem,))


def _not_utf8(error: UnicodeDecodeError) -> Problem:
    before = error.object[: error.start].decode()
    at = Position(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
    return Problem(at, WHOLE, "is not UTF-8 here", "Save it as UTF-8")
