"""Who may do what: one function that every way in from outside asks.

Nothing is allowed that is not said. Groups say whose releases and playbooks somebody may see and
change; environments say on which hosts they may have anything done. An environment is a name for
patterns of hosts, in which ``*`` stands for any characters.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from headway.errors import DefinitionError

ALL = "*"  # of groups: every group; of environments and patterns: every host
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PATTERN = re.compile(r"[A-Za-z0-9_.:*\[\]-]{1,253}")


class Action(StrEnum):
    """What somebody wants to do, as a right to it is looked for."""

    PUBLIC = "public"  # anybody may, without being known
    LOOK = "look"  # lists, of which each part is looked at by itself
    READ = "read"  # one thing of a group
    EDIT = "edit"  # a group's playbooks
    DEPLOY = "deploy"  # begin a release
    STEER = "steer"  # cancel, pause, resume, retry, approve or settle one
    TRACK = "track"  # look at Celery tasks, which are of no group

    @property
    def needs_hosts(self) -> bool:
        """Whether it has something done on hosts, all of which must be somebody's."""
        return self in (Action.DEPLOY, Action.STEER)


class Rights(NamedTuple):
    """What a token allows."""

    groups: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()  # of hosts


EVERYTHING = Rights((ALL,), (ALL,))


def allows(rights: Rights, action: Action, group: str, hosts: Iterable[str] = ()) -> bool:
    """Whether somebody with these rights may do this to something of a group.

    ``group``: that of what is stored, not one that was said; ``hosts``: all on which anything
    would be done. Of hosts nobody knows, only who may use every host may do anything on them.
    """
    match action:
        case Action.PUBLIC | Action.LOOK:
            return True
        case Action.READ | Action.EDIT:
            return has_group(rights, group)
        case Action.TRACK:
            return has_group(rights, "")
        case Action.DEPLOY | Action.STEER:
            return has_group(rights, group) and not hosts_beyond(rights, hosts)


def has_group(rights: Rights, group: str) -> bool:
    """Whether they may see what is of the group. What is of no group, only who may see all."""
    return ALL in rights.groups or (group != "" and group in rights.groups)


def hosts_beyond(rights: Rights, hosts: Iterable[str]) -> list[str]:
    """Those that no environment of theirs has; of no hosts at all, ``*`` for any."""
    if ALL in rights.patterns:
        return []
    asked = list(dict.fromkeys(hosts)) or [ALL]
    return [host for host in asked if not any(covers(one, host) for one in rights.patterns)]


def covers(pattern: str, host: str) -> bool:
    """Whether a host is one of a pattern's. Capital letters make no difference."""
    return _expression(pattern).fullmatch(host) is not None


@lru_cache(maxsize=1_000)
def _expression(pattern: str) -> re.Pattern[str]:
    parts = [re.escape(part) for part in re.split(r"\*+", pattern)]
    return re.compile(".*".join(parts), re.IGNORECASE | re.DOTALL)


def patterns_of(
    named: Iterable[str], environments: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """The patterns of the environments that are named. One that is not there any more has none."""
    names = tuple(named)
    if ALL in names:
        return (ALL,)
    return tuple(dict.fromkeys(one for name in names for one in environments.get(name, ())))


def environments_of(said: object) -> dict[str, tuple[str, ...]]:
    """The table ``[environments]`` of a configuration file, checked.

    Raises: DefinitionError.
    """
    if not isinstance(said, Mapping):
        raise DefinitionError(f"environments is {said!r}: make it a table, [environments]")
    return {_name(name): _patterns(name, hosts) for name, hosts in said.items()}


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise DefinitionError(
            f"environments has {name!r}, which is no name for one: write letters, digits, ., _"
            " and -, and begin with a letter or digit"
        )
    return name


def _patterns(name: str, hosts: object) -> tuple[str, ...]:
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise DefinitionError(
            f"environments.{name} is {hosts!r}: write a list of hosts, such as"
            ' ["web1.example.org", "*.test.example.org"]'
        )
    for host in hosts:
        if not _PATTERN.fullmatch(host):
            raise DefinitionError(
                f"environments.{name} has {host!r}, which is no host: write a name or an address,"
                " with * for any characters"
            )
    return tuple(hosts)
