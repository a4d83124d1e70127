"""Tokens for the API: made, told once, kept as a digest, and looked at again.

A token is ``hw_PREFIX_SECRET``: the prefix is what people call it by, the secret 256 bits of
chance. Against so much chance a plain SHA-256 suffices: there is nothing to guess.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence

from headway.errors import Rejected
from headway.ports.tokens import Token, Tokens
from headway.runtime import clocks

DAY_US = 86_400_000_000
_TOKEN = re.compile(r"hw_[0-9a-f]{8}_[A-Za-z0-9_-]{43}")


def new_token(
    store: Tokens,
    name: str,
    groups: Sequence[str],
    environments: Sequence[str],
    *,
    who: str,
    expires_us: int | None = None,
) -> tuple[str, Token]:
    """A token, which nobody can tell again, and how it is kept. Raises: Rejected."""
    taken = next((one for one in store.tokens() if one.name == name and is_valid(one)), None)
    if taken is not None:
        raise Rejected(
            f"there is a token {name!r} already: take another name, or revoke it first"
            f" (headway token revoke {taken.id})"
        )
    prefix = secrets.token_hex(4)
    text = f"hw_{prefix}_{secrets.token_urlsafe(32)}"
    token = Token(
        prefix,
        name,
        digest_of(text),
        tuple(groups),
        tuple(environments),
        who,
        clocks.now_us(),
        expires_us,
    )
    store.add_token(token)
    return text, token


def digest_of(text: str) -> str:
    """What a token is found by."""
    return hashlib.sha256(text.encode()).hexdigest()


def found(store: Tokens, text: str) -> Token | None:
    """The token that somebody showed, if it is one and still holds."""
    if not _TOKEN.fullmatch(text):
        return None
    digest = digest_of(text)
    token = store.token(digest)
    if token is None or not hmac.compare_digest(token.digest, digest):
        return None
    return token if is_valid(token) else None


def is_valid(token: Token) -> bool:
    """Whether it was not revoked and has not expired."""
    if token.revoked_us is not None:
        return False
    return token.expires_us is None or clocks.now_us() < token.expires_us


def called(store: Tokens, name_or_id: str) -> Token:
    """The token with this id, or the one that holds and has this name. Raises: Rejected."""
    tokens = store.tokens()
    for one in tokens:
        if one.id == name_or_id:
            return one
    named = [one for one in tokens if one.name == name_or_id]
    if not named:
        raise Rejected(f"there is no token {name_or_id!r}: headway token list lists them")
    return next((one for one in named if is_valid(one)), named[-1])
