"""Tokens in a plain list: the part of the store in memory that keeps them."""

import threading
from collections.abc import Sequence

from headway.errors import Conflict, Rejected
from headway.ports.playbooks import require_short
from headway.ports.store import storable
from headway.ports.tokens import Token


class MemoryTokens:
    """Keeps tokens in memory."""

    _lock: threading.RLock

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}

    def add_token(self, token: Token) -> None:
        require_short(token.id, token.name, token.digest, what="ids, names and digests of tokens")
        kept = token._replace(
            id=storable(token.id),
            name=storable(token.name),
            digest=storable(token.digest),
            groups=tuple(token.groups),
            environments=tuple(token.environments),
            who=storable(token.who),
        )
        with self._lock:
            if kept.id in self._tokens or self.token(token.digest) is not None:
                raise Conflict(f"there is a token {token.id} already, or one with its digest")
            self._tokens[kept.id] = kept

    def token(self, digest: str) -> Token | None:
        with self._lock:
            wanted = storable(digest)
            return next((one for one in self._tokens.values() if one.digest == wanted), None)

    def token_with_id(self, id: str) -> Token | None:
        with self._lock:
            return self._tokens.get(storable(id))

    def tokens(self) -> Sequence[Token]:
        with self._lock:
            return sorted(self._tokens.values(), key=lambda token: (token.at_us, token.id))

    def revoke_token(self, id: str, at_us: int) -> None:
        with self._lock:
            token = self._tokens.get(storable(id))
            if token is None:
                raise Rejected(f"there is no token {id}")
            if token.revoked_us is None:
                self._tokens[token.id] = token._replace(revoked_us=at_us)
