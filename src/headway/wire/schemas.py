"""The messages as JSON Schemas, from the shapes that their codecs use."""

from typing import Any

from headway.wire.messages import WireMessage, keys_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(message: type[WireMessage]) -> dict[str, Any]:
    """The schema of a message's body. Keys that it does not name are allowed, and kept."""
    keys = keys_of(message)
    return {
        "$schema": DIALECT,
        "title": message.TITLE,
        "description": _marked(" ".join((message.__doc__ or "").split())),
        "type": "object",
        "properties": {
            key.name: {"description": _marked(key.says), **key.shape.schema()} for key in keys
        },
        "required": [key.name for key in keys if key.required],
        "additionalProperties": True,
    }


def _marked(text: str) -> str:
    """From the marks of docstrings to those of Markdown."""
    return text.replace("``", "`")
