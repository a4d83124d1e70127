"""Tokens in a store over SQL."""

import json
from collections.abc import Sequence
from typing import Any

from headway.adapters import statements
from headway.adapters.sql_part import SqlPart
from headway.errors import Rejected
from headway.ports.playbooks import require_short
from headway.ports.store import storable
from headway.ports.tokens import Token


class SqlTokens(SqlPart):
    """The part of a store that keeps tokens."""

    def add_token(self, token: Token) -> None:
        require_short(token.id, token.name, token.digest, what="ids, names and digests of tokens")
        kept = {
            name: storable(value) if isinstance(value, str) else value
            for name, value in token._asdict().items()
        }
        kept["groups"], kept["environments"] = (
            json.dumps(token.groups),
            json.dumps(token.environments),
        )
        self._change(statements.ADD_TOKEN, **kept)

    def token(self, digest: str) -> Token | None:
        rows = self._query(statements.TOKEN_WITH_DIGEST, digest=storable(digest))
        return _token(rows[0]) if rows else None

    def token_with_id(self, id: str) -> Token | None:
        rows = self._query(statements.TOKEN, id=storable(id))
        return _token(rows[0]) if rows else None

    def tokens(self) -> Sequence[Token]:
        return [_token(row) for row in self._query(statements.TOKENS)]

    def revoke_token(self, id: str, at_us: int) -> None:
        revoked = self._change(statements.REVOKE_TOKEN, id=storable(id), at_us=at_us)
        if not revoked and not self._query(statements.TOKEN, id=storable(id)):
            raise Rejected(f"there is no token {id} in {self.place}: headway token list lists them")


def _token(row: Sequence[Any]) -> Token:
    id, name, digest, groups, environments, *rest = row
    return Token(
        id, name, digest, tuple(json.loads(groups)), tuple(json.loads(environments)), *rest
    )
