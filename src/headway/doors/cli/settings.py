"""What holds for a command: defaults < headway.toml < environment < arguments, one frozen value."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from headway.doors.cli.exits import Mistyped
from headway.errors import DefinitionError, Refused

FILE = "headway.toml"
STORE = Path(".headway") / "headway.db"
KEYS = ("db", "durable", "bus")
TABLES = {"release": ("surroundings", "triggers")}
ENVIRONMENTS = "environments"  # a table of lists, whose keys are the user's
DURABLE = ("process", "power")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the record is kept, and how safely."""

    db: str  # a URL or a path
    db_from: str  # who said so: "--db", "HEADWAY_DB", the path of a headway.toml, or ""
    durable: str

    def __repr__(self) -> str:
        return f"Settings(db={masked(self.db)!r}, durable={self.durable!r})"


def settled(
    arguments: Mapping[str, Any], environment: Mapping[str, str], directory: Path
) -> Settings:
    """The settings for a command typed in ``directory``.

    Raises: Mistyped, Refused.
    """
    file: dict[str, str] = {}
    place = None
    if not (arguments.get("db") and arguments.get("durable")):
        place, file = _found(directory)
    db, db_from = _first(
        (arguments.get("db"), "--db"),
        (environment.get("HEADWAY_DB"), "HEADWAY_DB"),
        (file.get("db"), str(place)),
    )
    if db_from == str(place) and "://" not in db:
        db = str(Path(db_from).parent / db)
    if not db:
        found = found_upwards(STORE, directory)
        db = str(found if found is not None else directory / STORE)
    durable, said_by = _first(
        (arguments.get("durable"), "--durable"),
        (environment.get("HEADWAY_DURABLE"), "HEADWAY_DURABLE"),
        (file.get("durable"), str(place)),
        ("process", ""),
    )
    if durable not in DURABLE:
        raise Mistyped(f"{said_by} says durable = {durable!r}: it is {' or '.join(DURABLE)}")
    return Settings(db, db_from, durable)


def bus_settled(
    arguments: Mapping[str, Any], environment: Mapping[str, str], directory: Path
) -> str:
    """The URL of the bus; "" for one in the process. Raises: Mistyped, Refused."""
    said = arguments.get("bus") or environment.get("HEADWAY_BUS")
    return said or _found(directory)[1].get("bus", "")


def environments_settled(directory: Path) -> dict[str, tuple[str, ...]]:
    """The environments of the nearest configuration file, by name: patterns of hosts.

    Raises: Mistyped, Refused.
    """
    from headway.releases.rights import environments_of

    place = found_upwards(Path(FILE), directory)
    said = _all_said(place).get(ENVIRONMENTS, {}) if place is not None else {}
    try:
        return environments_of(said)
    except DefinitionError as error:
        raise Mistyped(f"{place}: {error}") from error


class SurroundingFiles(NamedTuple):
    """Where it is written what surrounds releases; None where nothing is said."""

    surroundings: Path | None = None
    triggers: Path | None = None  # whose triggers take the place of those of the other


def surroundings_settled(arguments: Mapping[str, Any], directory: Path) -> SurroundingFiles:
    """Raises: Mistyped, Refused."""
    place, file = _found(directory)
    found = []
    for name in SurroundingFiles._fields:
        typed, said = arguments.get(name), file.get(f"release.{name}")
        path = Path(typed) if typed else None
        if path is None and place is not None and said:
            path = place.parent / said
        found.append(path)
    return SurroundingFiles(*found)


def _found(directory: Path) -> tuple[Path | None, dict[str, str]]:
    """The nearest configuration file, and what it says; of a table, by "table.key"."""
    place = found_upwards(Path(FILE), directory)
    return place, _read(place) if place is not None else {}


def _first(*said: tuple[str | None, str]) -> tuple[str, str]:
    for value, by in said:
        if value:
            return value, by
    return "", ""


def found_upwards(wanted: Path, directory: Path) -> Path | None:
    """The nearest such file in the directory or above it.

    Raises: Refused for another user's: a store says what is carried out on resume.
    """
    for parent in (directory, *directory.parents):
        file = parent / wanted
        try:
            owner = file.stat().st_uid
        except OSError:
            continue
        if owner != os.geteuid():
            raise Refused(
                f"{file} belongs to another user (uid {owner}) and is not trusted:"
                " name the store you mean with --db or HEADWAY_DB"
            )
        return file
    return None


def _all_said(file: Path) -> dict[str, Any]:
    """Raises: Mistyped."""
    import tomllib

    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Mistyped(f"{file} cannot be read: {error}") from error


def _read(file: Path) -> dict[str, str]:
    """What the file says of KEYS and TABLES."""
    said = _all_said(file)
    found: dict[str, str] = {}
    for key, value in said.items():
        if key == ENVIRONMENTS:
            continue  # read by who needs it
        if key in TABLES and isinstance(value, dict):
            found |= _texts(file, value, TABLES[key], f"{key}.")
        else:
            found |= _texts(file, {key: value}, (*KEYS, *TABLES, ENVIRONMENTS))
    return found


def _texts(
    file: Path, said: Mapping[str, Any], known: Sequence[str], table: str = ""
) -> dict[str, str]:
    """What a table sets, all of it known and texts. Raises: Mistyped."""
    for key, value in said.items():
        if f"{table}{key}" in TABLES:
            keys = " and ".join(TABLES[key])
            raise Mistyped(f"{file} sets {key} to {value!r}: write [{key}] and below it {keys}")
        if key not in known:
            listed = f"{', '.join(known[:-1])} and {known[-1]}"
            what = f"{file} sets {table + key!r}, which means nothing"
            raise Mistyped(f"{what}: it may set {listed}")
        if not isinstance(value, str):
            raise Mistyped(f"{file} sets {table}{key} to {value!r}: it must be a text in quotes")
    return {f"{table}{key}": value for key, value in said.items()}


def masked(url: str) -> str:
    """A URL without its password."""
    scheme, mark, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    if not mark or ":" not in user:
        return url
    return f"{scheme}://{user.partition(':')[0]}:***{at}{host}"
