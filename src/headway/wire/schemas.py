"""The messages as JSON Schemas, from the shapes that their codecs use."""

from typing import Any

from headway.wire.messages import WireMessage, marked, object_schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(message: type[WireMessage]) -> dict[str, Any]:
    """The schema of a message's body. Keys that it does not name are allowed, and kept."""
    return {
        "$schema": DIALECT,
        "title": message.TITLE,
        "description": marked(" ".join((message.__doc__ or "").split())),
        **object_schema(message),
    }
