"""What a playbook is given: declared, checked, converted, all problems at once."""

from typing import Any

import pytest

from headway.errors import DefinitionError
from headway.releases.inputs import REQUIRED, Input, WrongInputs, is_reference, resolved

CART = Input("cart")
SIZE = Input("size", "integer", 3, choices=(1, 3))


def problems(
    inputs: list[Input], given: dict[str, Any], dynamic: tuple[str, ...] = ()
) -> list[str]:
    with pytest.raises(WrongInputs) as caught:
        resolved(inputs, dynamic, given)
    assert isinstance(caught.value, DefinitionError)
    assert str(caught.value).split("\n") == list(caught.value.problems)
    return list(caught.value.problems)


def test_what_was_given_and_the_defaults_come_out() -> None:
    assert resolved([CART, SIZE], ["cart"], {"cart": "demo"}) == {"cart": "demo", "size": 3}
    assert resolved([CART, SIZE], [], {"size": 1, "cart": ""}) == {"cart": "", "size": 1}


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("text", "5", "5"),
        ("integer", "-5", -5),
        ("number", "5", 5),
        ("number", "1.5e1", 15.0),
        ("boolean", "true", True),
        ("boolean", "false", False),
        ("list", '["a", 1]', ["a", 1]),
        ("object", '{"a": null}', {"a": None}),
    ],
)
def test_a_text_is_converted_by_the_declared_type(type_: str, text: str, value: Any) -> None:
    found = resolved([Input("it", type_)], [], {"it": text})["it"]
    assert (found, type(found)) == (value, type(value))
    if type_ != "text":
        assert resolved([Input("it", type_)], [], {"it": value}) == {"it": value}


@pytest.mark.parametrize(
    ("type_", "value", "problem"),
    [
        ("text", 5, "is 5, not a text. Give a text"),
        ("text", None, "is null, not a text. Give a text"),
        ("integer", "1.0", "is 1.0, not a whole number. Give a whole number"),
        ("integer", "010", "is '010', not a whole number. Give a whole number"),
        ("integer", "", "is '', not a whole number. Give a whole number"),
        ("integer", True, "is true, not a whole number. Give a whole number"),
        ("number", "NaN", "is 'NaN', not a number. Give a number"),
        ("number", "true", "is true, not a number. Give a number"),
        ("boolean", "yes", "is 'yes', not true or false. Give true or false"),
        ("boolean", 1, "is 1, not true or false. Give true or false"),
        ("list", "a,b", """is 'a,b', not a list. Give it as JSON: --set it='["a", "b"]'"""),
        ("object", "[]", """is a list, not an object. Give it as JSON: --set it='{"a": 1}'"""),
        ("text", "a\0", "holds the character NUL. Give another"),
        ("text", "\udc80", "holds half a surrogate pair. Give another"),
        ("list", ["a\\\0"], "holds the character NUL. Give another"),
        ("number", float("nan"), "cannot be sent: it cannot be written as JSON: "),
    ],
)
def test_a_value_of_another_type_is_refused(type_: str, value: Any, problem: str) -> None:
    (said,) = problems([Input("it", type_)], {"it": value})
    assert said.startswith(f"input 'it' {problem}")


def test_backslashes_are_no_nul() -> None:
    assert resolved([], [], {"a": ["\\u0000"]}) == {"a": ["\\u0000"]}


def test_choices_are_kept_to() -> None:
    assert problems([SIZE], {"size": "2"}) == ["input 'size' is 2. Choose one of 1, 3"]
    assert resolved([SIZE], [], {"size": "1"}) == {"size": 1}


def test_everything_that_is_wrong_is_told_at_once() -> None:
    target = Input("target", choices=("stage", "live"))
    given = {"size": 9, "tickt": "x", "wholly_other": 1}
    assert problems([CART, SIZE, target], given, ("cart", "ticket")) == [
        "input 'cart' is missing. Give it with --set cart=VALUE",
        "input 'size' is 9. Choose one of 1, 3",
        "input 'target' is missing. Give it with --set target=VALUE, one of 'stage', 'live'",
        "input 'ticket' is missing. Give it with --set ticket=VALUE",
        "input 'tickt' is unknown. Did you mean ticket?",
        "input 'wholly_other' is unknown. The playbook has cart, size, target, ticket",
    ]


def test_what_a_step_asks_for_by_name_may_be_any_value() -> None:
    assert resolved([], ["a", "b"], {"a": [1], "b": "5"}) == {"a": [1], "b": "5"}
    assert problems([], {"a": 1}, ("a", "b")) == [
        "input 'b' is missing. Give it with --set b=VALUE"
    ]


def test_a_playbook_that_declares_no_inputs_passes_on_what_it_does_not_know() -> None:
    assert resolved([], ["a"], {"a": 1, "other": {"x": 2}}) == {"a": 1, "other": {"x": 2}}
    assert problems([], {"other": "\0"}) == ["input 'other' holds the character NUL"]


def test_a_secret_comes_out_as_it_was_given_and_is_never_shown() -> None:
    key = Input("key", secret=True)
    assert resolved([key], [], {"key": "env:KEY"}) == {"key": "env:KEY"}
    assert resolved([key], [], {"key": "hunter2"}) == {"key": "hunter2"}
    for value in (["hunter2"], {"hunter2": 1}, "hunter2\0"):
        (said,) = problems([key], {"key": value})
        assert "hunter2" not in said
    assert "hunter2" not in repr(Input("key", default="hunter2", secret=True))
    assert repr(CART) == (
        "Input(name='cart', type='text', default=REQUIRED, secret=False, choices=())"
    )
    assert CART.default is REQUIRED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("env:TOKEN", True),
        ("file:/run/secrets/token", True),
        ("env:", False),
        ("env:1X", False),
        ("file:", False),
        ("token", False),
        ("ENV:TOKEN", False),
        (" env:TOKEN", False),
    ],
)
def test_a_reference_says_where_a_secret_is(text: str, expected: bool) -> None:
    assert is_reference(text) is expected
