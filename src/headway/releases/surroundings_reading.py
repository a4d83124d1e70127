"""From a document to what surrounds releases, or to everything that is wrong with it at once.

The keys are those of the release engine: in capitals, as there, or all of an object's in small
letters.
"""

from collections.abc import Callable, Sequence
from typing import Any

from headway.errors import WireError
from headway.jobs.job import ALWAYS, WHEN
from headway.jobs.plan import GATE
from headway.releases.document import (
    WHOLE,
    Document,
    DocumentError,
    Located,
    below,
    called,
    clipped,
)
from headway.releases.fields import Field
from headway.releases.playbook import NAME_CHARACTERS, Step
from headway.releases.step_reading import with_parameters
from headway.releases.surroundings import (
    ID_PLACE,
    PhaseNotice,
    PostDeployAction,
    PreDeployCheck,
    Surroundings,
    Trigger,
)
from headway.wire.messages import FINAL
from headway.wire.names import StepName, parse_step
from headway.wire.shapes import shown

CALLED = "surroundings"  # the field of a problem with the document as such

# The keys of each object. docs/reference/surroundings.md tells each of them.
SURROUNDINGS_KEYS = (
    "step_triggers",
    "pre_deploy_check",
    "post_deploy_action",
    "phase_notification",
)
TRIGGER_KEYS = ("description", "when", "command", "subcommand", "parameters")
WHEN_KEYS = ("next_command", "next_subcommand")
CHECK_KEYS = ("name", "command", "subcommand", "parameters", "expectation")
ACTION_KEYS = ("name", "command", "subcommand", "parameters", "when")
NOTICE_KEYS = ("topic", "target", "url", "taboot_url")
# What stands beside these in re-core's own file.
RE_CORE_KEYS = ("LOGFILE", "LOGLEVEL", "RELEASE_LOG_DIR", "TRIGGERS", "MQ", "DB")
TOPIC_BYTES = 255  # the protocol's own limit for a routing key

_COMMANDS = (
    ("command", "which workers do it"),
    ("subcommand", "what they are to do"),
)
_ITEMS = "Write a list of objects"
_TARGETS = "Write a list of texts: whom to tell"
_EXPECTATION = "Write an object that the answer must hold, such as {status: completed}"


def surroundings_of(document: Document) -> Surroundings:
    """Raises: DocumentError with every problem of it."""
    problems = list(document.problems)
    found = _surroundings(Field(document.root, WHOLE, problems))
    if problems:
        whole = called(document._replace(problems=tuple(problems)), CALLED)
        raise DocumentError(whole.place, whole.problems)
    return found


def from_plain(plain: Any, place: str) -> Surroundings:
    """What ``to_plain`` made of it; ``place``: what people call it. Raises: DocumentError."""
    return surroundings_of(Document(place, Located.of(plain)))


def _surroundings(field: Field) -> Surroundings:
    found = _known(_without_settings(field), SURROUNDINGS_KEYS, "surroundings")
    notice = found.get("phase_notification")
    return Surroundings(
        triggers=tuple(_trigger(one) for one in _items(found.get("step_triggers"))),
        checks=tuple(_check(one) for one in _named(found.get("pre_deploy_check"))),
        actions=tuple(_action(one) for one in _named(found.get("post_deploy_action"))),
        phase_notice=None if notice is None else _notice(notice),
    )


def _without_settings(field: Field) -> Field:
    """Says what to do about a file of re-core that is taken as it is."""
    value = field.located.value
    if not isinstance(value, dict):
        return field
    for key in [key for key in RE_CORE_KEYS if key in value]:
        at = field.located.keys.get(key)
        member = field._replace(path=below(field.path, key))
        member.wrong("is a setting of re-core, and surrounds no release", "Take it out", at)
    rest = {key: member for key, member in value.items() if key not in RE_CORE_KEYS}
    return field._replace(located=field.located._replace(value=rest))


def _trigger(field: Field) -> Trigger:
    needs = [("description", "what it is for"), ("when", "before which steps"), *_COMMANDS]
    found = _known(field, TRIGGER_KEYS, "a trigger", needs)
    command, subcommand = _next(found["when"]) if "when" in found else ("", "")
    return Trigger(
        found["description"].text() if "description" in found else "",
        command,
        subcommand,
        _step(found),
    )


def _next(field: Field) -> tuple[str, str]:
    found = _known(field, WHEN_KEYS, "WHEN")
    if field.located.value == {}:
        field.wrong("is empty", "Write NEXT_COMMAND, NEXT_SUBCOMMAND or both")
    command, subcommand = (_word(found[key]) if key in found else "" for key in WHEN_KEYS)
    return command, subcommand


def _check(field: Field) -> PreDeployCheck:
    needs = [("name", "what it asks"), *_COMMANDS, ("expectation", "what the answer must hold")]
    found = _known(field, CHECK_KEYS, "a pre-deploy check", needs)
    return PreDeployCheck(
        found["name"].text(longest=NAME_CHARACTERS) if "name" in found else "",
        _step(found, "pre-deploy check"),
        _expectation(found["expectation"]) if "expectation" in found else {},
    )


def _expectation(field: Field) -> dict[str, Any]:
    found = field.members(_EXPECTATION)
    if field.located.value == {}:
        field.wrong("is empty", _EXPECTATION)
    if "status" in found:
        found["status"].one_of(FINAL)
    return {key: member.located.plain() for key, member in found.items()}


def _action(field: Field) -> PostDeployAction:
    needs = [("name", "what it does"), *_COMMANDS]
    found = _known(field, ACTION_KEYS, "a post-deploy action", needs)
    return PostDeployAction(
        found["name"].text(longest=NAME_CHARACTERS) if "name" in found else "",
        _step(found, "post-deploy action"),
        (found["when"].one_of(WHEN) if "when" in found else None) or ALWAYS,
    )


def _notice(field: Field) -> PhaseNotice:
    needs = [("topic", "the routing key of the notices"), ("target", "whom to tell")]
    found = _known(field, NOTICE_KEYS, "a phase notification", needs)
    url = found.get("url") or found.get("taboot_url")
    if url is None and found:
        missing = field._replace(path=below(field.path, _spelled(field)("url")))
        missing.wrong("is missing", f"Write the address of a page, with {ID_PLACE} for the id")
    elif "url" in found and "taboot_url" in found:
        found["taboot_url"].wrong("says what url says", "Take one of the two out")
    return PhaseNotice(
        _topic(found["topic"]) if "topic" in found else "",
        found["target"].texts(_TARGETS, empty=_TARGETS) if "target" in found else (),
        "" if url is None else _url(url),
    )


def _topic(field: Field) -> str:
    topic = field.text()
    if len(topic.encode()) > TOPIC_BYTES:
        field.wrong(f"has more than {TOPIC_BYTES} bytes", "Write a key such as notify.irc")
    return topic


def _url(field: Field) -> str:
    url = field.text()
    places = url.count(ID_PLACE)
    if url.strip() and places != 1:
        what = f"has {places} places for the id" if places else "has no place for the id"
        field.wrong(what, f"Write {ID_PLACE} once, where the id is to stand")
    return url


def _step(found: dict[str, Field], part: str = "") -> Step:
    command, subcommand = (
        _word(found[key]) if key in found else "" for key in ("command", "subcommand")
    )
    if command == GATE:
        what = "is kept for gates, and a gate is a step of a playbook"
        found["command"].wrong(what, "Write it there, or give the command another name")
    parameters = found.get("parameters")
    if parameters is None:
        return Step(command, subcommand)
    return with_parameters(parameters, StepName(command, subcommand), part)


def _word(field: Field) -> str:
    word = field.text()
    try:
        parse_step(f"{word}:{word}")
    except WireError:
        if word.strip():
            what = f"{shown(word)} is no word of a step"
            field.wrong(what, "Write letters, digits, _ and -, without a colon")
    return word


def _items(field: Field | None) -> list[Field]:
    return [] if field is None else field.items(_ITEMS)


def _named(field: Field | None) -> list[Field]:
    """Of a list of objects with names, none twice."""
    seen: set[str] = set()
    items = _items(field)
    for item in items:
        if not isinstance(item.located.value, dict):
            continue
        for key, member in item.members(_ITEMS).items():
            name = member.located.value
            if key.lower() == "name" and isinstance(name, str):
                if name in seen:
                    member.wrong(f"{shown(name)} is there already", "Give one of the two another")
                seen.add(name)
    return items


def _known(
    field: Field, keys: Sequence[str], whose: str, needs: Sequence[tuple[str, str]] = ()
) -> dict[str, Field]:
    """Of an object that has only these keys, in capitals or in small letters; by the small key.

    ``needs``: keys that it must have, and what each of them says.
    """
    spelled = _spelled(field)
    known = [spelled(key) for key in keys]
    field = _respelled(field, known, whose)
    listed = f"{', '.join(known[:-1])} or {known[-1]}"
    must = [(spelled(key), f"Write {spelled(key)}: and {says}") for key, says in needs]
    found = field.known(known, whose, f"Write an object with {listed}", must)
    return {key.lower(): member for key, member in found.items()}


def _spelled(field: Field) -> Callable[[str], str]:
    """How the keys of an object are written: in capitals, or else in small letters."""
    value = field.located.value
    in_capitals = isinstance(value, dict) and any(key.isupper() for key in value)
    return str.upper if in_capitals else str.lower


def _respelled(field: Field, known: Sequence[str], whose: str) -> Field:
    """With every key as the others are written; a problem for each that was not."""
    value = field.located.value
    if not isinstance(value, dict):
        return field
    by_small = {key.lower(): key for key in known}
    members: dict[str, Located] = {}
    for key, member in value.items():
        right = by_small.get(key.lower(), key)
        if key != right and right not in value:
            Field(member, below(field.path, key), field.problems).wrong(
                f"{clipped(key)!r} is no key of {whose}",
                f"Write {right}: its keys are written alike",
                field.located.keys.get(key),
            )
            key = right
        members[key] = member
    return field._replace(located=field.located._replace(value=members))
