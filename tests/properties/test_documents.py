"""Any text is a document or a clean error; the notations agree."""

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from headway.adapters.documents import read
from headway.errors import WireError
from headway.releases.document import UNREAD, DocumentError, Problem
from headway.releases.inputs import Input, WrongInputs, resolved
from headway.releases.reading import INPUT_KEYS, PLAYBOOK_KEYS, SEQUENCE_KEYS, playbook_of
from headway.releases.step_reading import JOB_KEYS, STEP_KEYS
from headway.wire import strict_json

# The one kind of text that PyYAML writes without quotes and that is a number here: 1e+20.
A_NUMBER_TO_US = re.compile(r"[-+]?[0-9]+[eE][-+][0-9]+", re.ASCII)
# Pieces that playbooks and their mistakes are made of.
MARKS = "a b: - ? ! & * | > ' \" % @ ` # { } [ ] , : ~ << &a *a !!x --- ... \\ \\u \\ud800"
ODD = "\t \0 \r \ufeff \x85 \u2028 null true 1 01 .inf 1e999 %YAML"
WORDS = "group: name: execution: hosts: steps: job: notify: noop:A python: inputs: check: x:Y:"
PIECES = st.sampled_from(f"{MARKS} {ODD} {WORDS}".split(" "))
SPACES = st.sampled_from([" ", "\n", "\n  ", "\n    ", "", "\n- ", "\t"])
BROKEN = st.lists(st.one_of(PIECES, SPACES, st.text(max_size=3)), max_size=60).map("".join)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20).filter(
    lambda text: not A_NUMBER_TO_US.fullmatch(text)
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.sampled_from(
        ["1", "true", "~", "", "yes", "010", "<<", "1e3", "- a", "a: b", "2020-01-01"]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def problems_of(body: bytes, notation: str) -> tuple[Problem, ...]:
    document = read(body, notation, "it")
    assert document.problems or document.root.value is not UNREAD
    try:
        playbook_of(document)
    except DocumentError as error:
        return error.problems or pytest.fail("an error that says nothing")
    return ()


def require_clean(body: bytes, notation: str) -> None:
    for problem in problems_of(body, notation):
        assert problem.at.line >= 1
        assert problem.at.column >= 1
        assert problem.what
        assert problem.remedy


@pytest.mark.parametrize("notation", ["YAML", "JSON"])
@given(text=BROKEN)
@example(text="\ufeff\ufeff")
@example(text="? &a *a : !")
def test_any_text_is_a_playbook_or_says_what_is_wrong(notation: str, text: str) -> None:
    require_clean(text.encode("utf-8", "surrogatepass"), notation)


@pytest.mark.parametrize("notation", ["YAML", "JSON"])
@given(body=st.binary(max_size=80))
def test_any_bytes_are_a_playbook_or_say_what_is_wrong(notation: str, body: bytes) -> None:
    require_clean(body, notation)


KEYS = [*PLAYBOOK_KEYS, *SEQUENCE_KEYS, *INPUT_KEYS, *STEP_KEYS, *JOB_KEYS, "a:B", "c:D", "python"]
PLAYBOOK_PARTS = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["a:B", "x", "", "text"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=30,
)


@given(
    parts=st.fixed_dictionaries(
        {"group": st.just("g"), "name": st.just("n"), "execution": PLAYBOOK_PARTS},
        optional={"inputs": PLAYBOOK_PARTS, "lock": PLAYBOOK_PARTS},
    )
)
def test_any_object_is_a_playbook_or_says_what_is_wrong(parts: dict[str, Any]) -> None:
    require_clean(json.dumps(parts).encode(), "JSON")


@given(value=VALUES)
def test_a_document_reads_the_same_in_json_and_in_yaml(value: Any) -> None:
    for text, notation in (
        (json.dumps(value), "JSON"),
        (json.dumps(value), "YAML"),
        (json.dumps(value, indent=1), "YAML"),
        (yaml.safe_dump(value, sort_keys=False), "YAML"),
        (yaml.safe_dump(value, sort_keys=False, default_flow_style=True), "YAML"),
    ):
        document = read(text.encode(), notation, "it")
        assert document.problems == (), text
        assert json.dumps(document.root.plain()) == json.dumps(value), text


@given(value=VALUES)
def test_json_that_is_read_here_is_read_by_the_bus_alike(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert read(text.encode(), "JSON", "it").root.plain() == strict_json.parse(text.encode())


@given(text=BROKEN)
def test_json_that_the_bus_refuses_is_refused_here(text: str) -> None:
    body = text.encode("utf-8", "surrogatepass")
    try:
        strict_json.parse(body)
    except WireError:
        if not body.startswith(b"\xef\xbb\xbf"):
            assert read(body, "JSON", "it").problems


@given(
    inputs=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["text", "integer", "list"])).map(
            lambda pair: Input(*pair)
        ),
        unique_by=lambda one: one.name,
    ),
    dynamic=st.lists(st.sampled_from("bcd")),
    given_=st.dictionaries(st.sampled_from("abcde"), VALUES),
)
def test_inputs_come_out_whole_or_not_at_all(
    inputs: list[Input], dynamic: list[str], given_: dict[str, Any]
) -> None:
    try:
        found = resolved(inputs, dynamic, given_)
    except WrongInputs:
        return
    assert found.keys() == {*(one.name for one in inputs), *dynamic, *given_}
    assert strict_json.encode(found)
