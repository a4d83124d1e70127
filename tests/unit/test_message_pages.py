"""The published schemas are those of the code."""

import pytest

from headway.wire.messages import MESSAGES, keys_of
from headway.wire.schemas import schema_of
from tools.message_pages import REFERENCE, file_name, pages


@pytest.mark.parametrize("name", pages())
def test_a_page_on_messages_is_up_to_date(name: str) -> None:
    written = (REFERENCE / name).read_text("utf-8")
    assert written == pages()[name], "write it again: python -m tools.message_pages"


def test_no_schema_is_left_of_a_message_that_is_gone() -> None:
    published = {file.name for file in (REFERENCE / "messages").iterdir()}
    assert published == {file_name(message) for message in MESSAGES}


@pytest.mark.parametrize("message", MESSAGES)
def test_a_schema_requires_what_the_codec_requires(message: type) -> None:
    schema = schema_of(message)
    assert set(schema["required"]) == {key.name for key in keys_of(message) if key.required}
    assert list(schema["properties"]) == [key.name for key in keys_of(message)]
