"""Documents as people hand them in: what they hold, where it stands, what is wrong with them."""

from pathlib import Path
from typing import Any

import pytest

from headway.adapters.documents import notation_of, read, read_file
from headway.errors import DefinitionError
from headway.releases.document import DEPTH, LIMIT_BYTES, VALUES, Located, Position


def told(text: str | bytes, notation: str) -> list[str]:
    body = text if isinstance(text, bytes) else text.encode()
    return [f"{p.at.line}:{p.at.column}: {p}" for p in read(body, notation, "it").problems]


def held(text: str, notation: str = "YAML") -> Any:
    document = read(text.encode(), notation, "it")
    assert document.problems == ()
    return document.root.plain()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("NULL", None),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("0", 0),
        ("-12", -12),
        ("+5", 5),
        ("1.50", 1.5),
        (".5", 0.5),
        ("2.", 2.0),
        ("1e+3", 1000.0),
        ("1.5E-3", 0.0015),
        ("12345678901234567890", 12345678901234567890),
    ],
)
def test_yaml_has_null_truth_and_decimal_numbers(text: str, value: Any) -> None:
    got = held(f"key: {text}")["key"]
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "No", "on", "Off", "y", "tRUE", "nUll", "none"),
        *("010", "-01", "0x1F", "0o17", "0b1", "1_000", "1:30", "12:30:45", "١٢"),
        *(
            "2024-05-01",
            "2024-05-01 10:00:00",
            "1.2.3",
            "1e3",
            "1234e56",
            "1.5e3",
            "-.5",
            ".",
            "e5",
            "inf",
            "NaN",
        ),
        *("=", "service:Restart", "a#b", "http://cat.example.net/health"),
    ],
)
def test_everything_else_in_yaml_is_text(text: str) -> None:
    assert held(f"key: {text}")["key"] == text


@pytest.mark.parametrize("text", ["5", "true", "null", "~", ".inf", "1e+999"])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_what_stands_in_quotes_is_text(text: str, quote: str) -> None:
    assert held(f"key: {quote}{text}{quote}") == {"key": text}


def test_texts_of_several_lines_are_text() -> None:
    assert held("a: |\n  5\nb: >\n  x\n  y\n") == {"a": "5\n", "b": "x y\n"}


def test_an_alias_is_what_it_stands_for() -> None:
    text = "a: &hosts [x, y]\nb: *hosts\nc: &name z\n*name : 1"
    assert held(text) == {"a": ["x", "y"], "b": ["x", "y"], "c": "z", "z": 1}


def test_escapes_in_two_halves_are_one_character_in_both_notations() -> None:
    assert held('["\\ud83d\\ude00"]') == held('["\\ud83d\\ude00"]', "JSON") == ["😀"]


def test_a_byte_order_mark_is_passed_over() -> None:
    for notation in ("YAML", "JSON"):
        document = read(b"\xef\xbb\xbf[1]", notation, "it")
        assert document.problems == ()
        assert document.root.value[0].at == Position(1, 2)


@pytest.mark.parametrize("notation", ["YAML", "JSON"])
def test_every_key_and_every_value_knows_where_it_stands(notation: str) -> None:
    root = read('{"é": [1,\n  "b"],\r\n "k": {"x": null}}'.encode(), notation, "it").root
    assert root.at == (1, 1)
    assert dict(root.keys) == {"é": (1, 2), "k": (3, 2)}
    assert [item.at for item in root.value["é"].value] == [(1, 8), (2, 3)]
    assert root.value["k"].value["x"].at == (3, 13)


def test_in_block_style_too() -> None:
    root = read(b"a:\n  - 1\n  -  b: c\n", "YAML", "it").root
    first, second = root.value["a"].value
    assert (first.at, second.at, second.keys["b"]) == ((2, 5), (3, 6), (3, 6))
    assert second.value["b"].at == (3, 9)


def test_a_value_without_a_document_has_no_places() -> None:
    plain = {"a": [1, {"b": None}], "c": "d"}
    located = Located.of(plain)
    assert located.plain() == plain
    assert located.at == (0, 0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: playbook: is empty. Write its keys into it"),
        ("# nothing\n", "1:1: playbook: is empty. Write its keys into it"),
        (
            "a: b: c",
            "1:5: playbook: a colon makes a key of this where none may stand. Put the text in"
            " quotes, or see to the indentation",
        ),
        (
            "a: 'x\nb: 1\n",
            "1:4: playbook: a text in quotes begins here and has no end. End it with the quote"
            " that it begins with",
        ),
        (
            "a:\n\tb: 1",
            "2:1: playbook: a tab stands where YAML takes blanks only. Indent with blanks",
        ),
        (
            "a: @x",
            "1:4: playbook: no text begins with this character unless it is in quotes. Put the"
            " text in quotes",
        ),
        (
            'a: "\\q"',
            "1:6: playbook: a \\ stands before a character that it does not go with. Write \\\\"
            " for a \\, or put the text in single quotes",
        ),
        (
            "a: 1\nb\nc: 1",
            "2:1: playbook: this line is no key: the colon is missing. Write key: value, or put a"
            " text of several lines in quotes",
        ),
        (
            "- a\nb: 1",
            "2:1: playbook: this belongs to nothing that stands before it. Indent it as deep as"
            " its neighbours, or put the whole text in quotes",
        ),
        (
            "a: [1, 2\nb: 3",
            "2:2: playbook: a comma or the closing bracket is missing. Write it here, or before"
            " this",
        ),
        (
            "  a: 1\nb: 2",
            "2:1: playbook: this belongs to nothing that stands before it. Take it out, or see to"
            " the indentation of what stands before it",
        ),
        (
            "a: - b",
            "1:4: playbook: a list begins where none may stand. Begin it on a line of its own",
        ),
        (
            "a: }",
            "1:4: playbook: a value is missing here. Write one, or take out what needs it",
        ),
        (
            "%YAML 3.0\n--- 1",
            "1:1: playbook: is not YAML here: found incompatible YAML document (version 1.* is"
            " required). Look at this line and the one above it",
        ),
        (
            "---\na: 1\n---\nb: 2",
            "3:1: playbook: another document begins here. Put it into a file of its own",
        ),
        (
            "a: *x",
            "1:4: a: there is no &x before the alias *x. Write out what it is to stand for",
        ),
        (
            "a: &x [*x]",
            "1:8: a[0]: the alias *x stands for what it is part of. Write out what it is to stand"
            " for",
        ),
        (
            "a: \x01",
            "1:4: playbook: holds the character U+0001, which YAML does not. Take it out, or write"
            ' it as an escape in double quotes: "\\u0001"',
        ),
        ("\na: \0", "2:4: playbook: holds the character U+0000, which YAML does not. Take it out"),
        (
            'a: "\\UFFFFFFFF"',
            "1:7: playbook: holds an escape or a directive with a number that means nothing. Take"
            " it out",
        ),
        (
            "%YAML 1." + "9" * 5000 + "\n--- 1",
            "1:9: playbook: holds an escape or a directive with a number that means nothing. Take"
            " it out",
        ),
    ],
)
def test_what_yaml_cannot_be_is_said_in_one_line(text: str, problem: str) -> None:
    assert told(text, "YAML") == [problem]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: !!str 5", "1:4: a: has a tag. Take out what begins with !"),
        ("a: !env X", "1:4: a: has a tag. Take out what begins with !"),
        (
            "a: {<<: {b: 1}}",
            "1:5: a: has a merge key (<<), which Headway does not know. Write the keys out",
        ),
        ("a:\n  8080: x", '2:3: a: has the key 8080, which is no text. Put it in quotes: "8080"'),
        ("1: x", '1:1: playbook: has the key 1, which is no text. Put it in quotes: "1"'),
        ("true: x", '1:1: playbook: has the key true, which is no text. Put it in quotes: "true"'),
        ("~: x", '1:1: playbook: has the key null, which is no text. Put it in quotes: "null"'),
        ("? [a]\n: b", "1:3: playbook: has a list or an object for a key. Keys are texts"),
        (
            "a: .inf",
            "1:4: a: is no number that can be kept. Write a smaller one, or a text in quotes",
        ),
        (
            "a: [-.INF, .nan]",
            "1:5: a[0]: is no number that can be kept. Write a smaller one, or a text in quotes",
        ),
    ],
)
def test_what_playbooks_leave_out_of_yaml_is_said_with_its_place(text: str, problem: str) -> None:
    assert told(text, "YAML")[0] == problem


@pytest.mark.parametrize("notation", ["YAML", "JSON"])
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '{"a": {"b": 1,\n "b": 2}}',
            "2:2: a.b: is there already, in line 1. Take one of the two out, or rename it",
        ),
        ('["\\u0000"]', "1:2: playbook[0]: holds the character NUL. Take that character out"),
        ('{"a": "\\ud800"}', "1:7: a: holds half a surrogate pair. Take that character out"),
        ('{"\\udfff": 1}', "1:2: playbook: holds half a surrogate pair. Take that character out"),
        (
            '{"a b": 1e+999}',
            "1:9: ['a b']: is no number that can be kept. Write a smaller one, or a text in quotes",
        ),
        (
            f"[{'1' * 301}]",
            "1:2: playbook[0]: is no number that can be kept. Write a smaller one, or a text in"
            " quotes",
        ),
    ],
)
def test_what_neither_notation_may_hold(text: str, problem: str, notation: str) -> None:
    assert told(text, notation) == [problem]


def test_all_that_is_wrong_is_told_at_once() -> None:
    text = "a: !x 1\nb: .nan\nb: 2\n3: 4\n"
    assert [line.partition(" ")[0] for line in told(text, "YAML")] == [
        "1:4:",
        "2:4:",
        "3:1:",
        "4:1:",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (" \n", "1:1: playbook: is empty. Write its keys into it"),
        ("{a: 1}", '1:2: playbook: a key is missing here. Write keys in quotes: "key": value'),
        ('{"a" 1}', "1:6: playbook: the colon after a key is missing. Write : here"),
        (
            '{"a":\n',
            "2:1: playbook: a value is missing here. Write one, or take out what needs it",
        ),
        (
            "[1 2]",
            "1:4: playbook: a comma or ] is missing. Write it here, or before this",
        ),
        ('{"a": 1', "1:8: playbook: a comma or } is missing. Write it here, or before this"),
        ("[1,]", "1:4: playbook: a comma stands before this, and nothing between. Take it out"),
        ("[1] 2", "1:5: playbook: something follows its end. Take it out"),
        *(
            (f"[{word}]", f"1:2: playbook: '{word}' is not JSON. Texts stand in quotes")
            for word in ("NaN", "-Infinity", "01", "1.", ".5", "+1", "True", "yes")
        ),
        *(
            (
                text,
                "1:1: playbook: a text begins here that has no end, a line break in it, or a \\ too"
                ' many. End it with ", and write \\n for a line break and \\\\ for a \\',
            )
            for text in ('"a', '"a\nb"', '"\\q"', '"\\u12"', '"\t"')
        ),
    ],
)
def test_what_json_cannot_be_is_said_in_one_line(text: str, problem: str) -> None:
    assert told(text, "JSON") == [problem]


@pytest.mark.parametrize("notation", ["YAML", "JSON"])
def test_what_is_not_utf_8_is_said_with_its_place(notation: str) -> None:
    assert told(b"[1,\n\xc3\xa9 \xff]", notation) == [
        "2:3: playbook: is not UTF-8 here. Save it as UTF-8"
    ]


@pytest.mark.parametrize("notation", ["YAML", "JSON"])
def test_a_document_that_is_too_long_is_not_read(notation: str) -> None:
    fits = '"' + "x" * (LIMIT_BYTES - 2) + '"'
    assert told(fits, notation) == []
    assert told(fits + " ", notation) == [
        "1:1: playbook: has more than 65,536 bytes. Make several files of it"
    ]


@pytest.mark.parametrize("notation", ["YAML", "JSON"])
def test_a_document_that_is_too_deep_is_not_read(notation: str) -> None:
    assert told("[" * DEPTH + "]" * DEPTH, notation) == []
    assert told("[" * (DEPTH + 1) + "]" * (DEPTH + 1), notation) == [
        f"1:{DEPTH + 1}: playbook: is nested more than 64 deep here. Take lists and objects apart"
    ]


@pytest.mark.parametrize("notation", ["YAML", "JSON"])
def test_a_document_with_too_many_values_is_not_read(notation: str) -> None:
    assert told("[" + ",".join("1" * (VALUES - 1)) + "]", notation) == []
    (problem,) = told("[" + ",".join("1" * VALUES) + "]", notation)
    assert problem == (
        f"1:{2 * VALUES}: playbook: holds more than 10,000 values, what aliases stand for counted"
        " in. Make several files of it"
    )


def test_keys_are_not_counted() -> None:
    assert told("{" + ",".join(f'"{n}": 1' for n in range(4000)) + "}", "YAML") == []


def test_aliases_of_aliases_count_for_all_they_stand_for() -> None:
    bomb = "a0: &a0 [" + "x, " * 10 + "]\n"
    bomb += "".join(f"a{n + 1}: &a{n + 1} [" + f"*a{n}, " * 10 + "]\n" for n in range(6))
    (problem,) = told(bomb, "YAML")
    assert "holds more than 10,000 values" in problem


def test_aliases_of_aliases_are_as_deep_as_what_they_stand_for() -> None:
    chain = "- &a0 [x]\n" + "".join(f"- &a{n + 1} [*a{n}]\n" for n in range(DEPTH))
    (problem,) = told(chain, "YAML")
    assert "is nested more than 64 deep" in problem


@pytest.mark.parametrize("mark", ["[", "{a: ", "- ", "? ", "&a [", '{"a":'])
@pytest.mark.parametrize("notation", ["YAML", "JSON"])
def test_what_is_nested_without_end_is_one_problem(mark: str, notation: str) -> None:
    assert len(told(mark * 12_000, notation)) == 1


def test_a_files_notation_is_the_end_of_its_name(tmp_path: Path) -> None:
    assert [notation_of(Path(name)) for name in ("a.yaml", "b.YML", "c.d.json")] == [
        "YAML",
        "YAML",
        "JSON",
    ]
    with pytest.raises(DefinitionError, match=r"a\.py is no playbook by its name: .*\.json"):
        notation_of(Path("a.py"))
    (tmp_path / "x.json").write_text("{a: 1}")
    (problem,) = read_file(tmp_path / "x.json").problems
    assert problem.what == "a key is missing here"
