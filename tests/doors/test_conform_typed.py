"""What ``headway conform`` says without a worker."""

import re
import socket

import pytest

from headway.conformance.findings import NAMES
from tests.docs.console import REPOSITORY
from tests.doors.typed import Place


def test_the_checks_are_listed_in_words_and_in_json(place: Place) -> None:
    said = place.type("conform", "--list")
    assert [line.split()[0] for line in said.lines] == list(NAMES)
    listed = place.type("conform", "--list", "--json").json
    assert [one["name"] for one in listed] == list(NAMES)


def test_the_reference_tells_of_every_check_in_order() -> None:
    page = (REPOSITORY / "docs/reference/command-line.md").read_text("utf-8")
    table = page[page.index("| check | what is asked |") :].split("\n\n")[0]
    told = [name for line in table.splitlines()[2:] for name in re.findall(r"`([a-z-]+)`", line)]
    assert [name for name in told if name in NAMES] == list(NAMES)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "name a step"),
        (["frob"], "write command:Subcommand"),
        (["frob:Ok"], "needs a broker"),
        (["frob:Ok", "--bus", "memory://"], "needs a broker"),
        (["frob:Ok", "--bus", "amqp://localhost", "--", "no-such-program"], "no program"),
        (["frob:Ok", "--check", "beauty"], "there is no check 'beauty'"),
    ],
)
def test_what_is_mistyped_is_told_with_what_to_type(
    place: Place, words: list[str], told: str
) -> None:
    assert told in place.type("conform", *words, code=64).err


def test_a_broker_that_is_not_there_is_unavailable(place: Place) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"amqp://127.0.0.1:{nobody.getsockname()[1]}"
        assert "cannot be reached" in place.type("conform", "frob:Ok", "--bus", url, code=69).err
