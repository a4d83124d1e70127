"""Writes the pages on the messages from the code: ``python -m tools.message_pages``."""

import json
from collections.abc import Mapping
from pathlib import Path

from headway.wire.messages import MESSAGES, WireMessage, keys_of
from headway.wire.schemas import schema_of

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"

INTRODUCTION = """\
# Messages

What workers, the core and everybody else on the bus say to each other: bodies are JSON objects in \
UTF-8 with the content type `application/json`, of at most a mebibyte and 64 levels. A key that is \
not named here is allowed; who passes the message on keeps it. A body with a key twice, NaN, \
Infinity or half a surrogate pair is refused.

The names of the messages link to their JSON Schemas. This page and the schemas are written by \
`python -m tools.message_pages`, from the code that reads and writes the messages.

| property | of a step message | of what a worker sends for it |
|---|---|---|
| `correlation_id` | the deployment's id | the same |
| `reply_to` | the queue for responses, on the default exchange | `log`: no answer is wanted |
| `message_id` | the attempt's id | in responses, output and notifications, the same |
| header `headway-claims` | the queue that grants the attempt; without it, no claim is needed | – |
| header `headway-deadline` | microseconds of UTC since 1970 until which a response is of use | – |
| header `headway-notifies` | whether its sender tells people that the step has started, unless \
the worker did before it said so | – |
| header `headway-worker` | – | in responses, who sends them, as in the claim |
| header `headway-notices` | – | in responses, the notices sent so far: `phase.transport` |
| header `headway-closing` | – | `true` in a final response: a last line of output follows, which \
has it too |
"""


def file_name(message: type[WireMessage]) -> str:
    return f"{message.TITLE.replace(' ', '-')}.json"


def pages() -> Mapping[str, str]:
    """Their texts, by the path from the reference's directory."""
    found = {
        f"messages/{file_name(message)}": json.dumps(schema_of(message), indent=2) + "\n"
        for message in MESSAGES
    }
    return {"messages.md": "\n".join([INTRODUCTION, *map(_section, MESSAGES)]), **found}


def _section(message: type[WireMessage]) -> str:
    schema = schema_of(message)
    lines = [
        f"## {message.TITLE.capitalize()}",
        "",
        f"{schema['description']} [Schema](messages/{file_name(message)})",
        "",
        "| key | | meaning |",
        "|---|---|---|",
    ]
    for key in keys_of(message):
        needed = "required" if key.required else "optional"
        choice = schema["properties"][key.name].get("enum", ())
        words = f": {', '.join(f'`{word}`' for word in choice)}" if choice else ""
        says = schema["properties"][key.name]["description"]
        lines.append(f"| `{key.name}` | {needed} | {says}{words} |")
    return "\n".join([*lines, ""])


def main() -> None:
    for name, text in pages().items():
        file = REFERENCE / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
