"""What remembers tokens: who may ask the API for what."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

EVERY = "*"  # among groups or environments: all of them


class Token(NamedTuple):
    """A token as it is kept: what it is checked by, never the token itself."""

    id: str
    name: str  # for people
    digest: str
    groups: Sequence[str]  # whose runs and playbooks it may see and change
    environments: Sequence[str]  # whose hosts it may reach
    who: str  # made it
    at_us: int  # microseconds of UTC since 1970, as the others
    expires_us: int | None = None
    revoked_us: int | None = None


class Tokens(Protocol):
    """Keeps tokens. One is never changed, but that it is revoked once; none is ever deleted.

    Text is kept as ``storable`` has it, groups and environments come back as tuples. Raises, in
    every method, what ``Store`` does; Rejected for an id, a digest or a name that is too long.
    """

    def add_token(self, token: Token) -> None:
        """Raises: Conflict for an id or a digest in use."""

    def token(self, digest: str) -> Token | None:
        """The token with this digest; one that has expired or was revoked, too: the caller
        decides."""

    def token_with_id(self, id: str) -> Token | None:
        """The same by its id."""

    def tokens(self) -> Sequence[Token]:
        """All of them, oldest first."""

    def revoke_token(self, id: str, at_us: int) -> None:
        """One that was revoked before stays as it is. Raises: Rejected for none."""
