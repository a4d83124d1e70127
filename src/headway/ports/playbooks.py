"""What remembers playbooks: the part of a store that keeps them, in versions."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from headway.errors import Rejected
from headway.releases.playbook import NAME_CHARACTERS

STORED = "playbook:"  # a target that begins so names a stored playbook


class PlaybookText(NamedTuple):
    """A playbook's document exactly as it was typed. The store does not look into it."""

    text: str
    notation: str  # "YAML" or "JSON"
    format: int  # of the language of playbooks that it was checked by


class PlaybookVersion(NamedTuple):
    """One version of a stored playbook. It never changes."""

    number: int  # from 1, without gaps
    typed: PlaybookText
    who: str
    at_us: int  # microseconds of UTC since 1970


class PlaybookRecord(NamedTuple):
    """A stored playbook as it stands: its newest version is what it is called by."""

    id: str
    group: str  # whose it is; never another's
    name: str
    version: int  # the newest
    who: str  # typed that one
    at_us: int  # and when
    removed_us: int | None = None  # None: it is there
    removed_by: str | None = None

    @property
    def title(self) -> str:
        """``group/name``, by which it can be asked for while it is there."""
        return f"{self.group}/{self.name}"


class Playbooks(Protocol):
    """Keeps playbooks. A version is never overwritten, a playbook never deleted, only removed:
    then it can be read by its id and no longer changed, and its name is free again.

    Ids are made as those of runs. Text is kept as ``storable`` has it. Names and groups have at
    most NAME_CHARACTERS characters. Raises, in every method, what ``Store`` does; Rejected for a
    playbook that is not there.
    """

    def add_playbook(
        self, id: str, group: str, name: str, typed: PlaybookText, who: str, at_us: int
    ) -> None:
        """Store a playbook, and its version 1.

        Raises: Conflict for an id in use, and for a name that a playbook of the group has.
        """

    def edit_playbook(
        self, id: str, expected: int, name: str, typed: PlaybookText, who: str, at_us: int
    ) -> int:
        """Add a version after the newest, which is ``expected``; its number.

        Raises: Conflict when another version is the newest, and for a name that another playbook
        of the group has; Rejected for one that was removed.
        """

    def remove_playbook(self, id: str, who: str, at_us: int) -> None:
        """Mark it as removed. Raises: Rejected for one that was removed before."""

    def find_playbook(self, called: str) -> PlaybookRecord:
        """By its id, removed or not, by any beginning of it that no other shares, or, while it
        is there, by ``group/name``. Raises: Rejected for none or several."""

    def playbooks(
        self, group: str | None = None, limit: int = 100, after: tuple[str, str] = ("", "")
    ) -> Sequence[PlaybookRecord]:
        """Those that are there, by group and name in the order of their characters; those that
        follow a (group, name)."""

    def playbook_version(self, id: str, number: int) -> PlaybookVersion:
        """Raises: Rejected for a version that is not there."""

    def playbook_versions(
        self, id: str, limit: int = 100, before: int | None = None
    ) -> Sequence[PlaybookVersion]:
        """Newest first; those with smaller numbers than ``before``."""


def require_short(*names: str, what: str = "names of playbooks and groups") -> None:
    """Names that every store can hold in an index. Raises: Rejected."""
    for name in names:
        if len(name) > NAME_CHARACTERS:
            raise Rejected(
                f"{name[:40]}… has {len(name):,} characters; {what} have at most {NAME_CHARACTERS}"
            )
