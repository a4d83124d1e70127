"""What nobody is to see is nowhere to be found, however it is spelled."""

import html
import json
import shlex
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headway import Job
from headway.adapters.inline import Inline
from headway.adapters.opening import open_store
from headway.jobs import events
from headway.jobs.compiling import compile_jobs
from headway.jobs.events import TryEnded, decode
from headway.jobs.job import DummyJob
from headway.jobs.outcomes import Ending, Failure
from headway.jobs.redaction import FREE, REDACTED, SHORTEST, Redaction
from headway.jobs.shared import Changes
from headway.ports.store import Entry
from headway.runtime import launching
from headway.runtime.loading import Loaded

Spell = Callable[[str], str]
# A sign of its own: ids, words and numbers of the journal's own do not hold it.
SIGN = "Zk"
CHARACTERS = st.sampled_from("aB9 \"'\\/\n\t\r%+&<>=:;{}[]$éÿß漢😀\x7f\x01\u2028")
SECRETS = st.lists(CHARACTERS, min_size=2, max_size=16).flatmap(
    lambda some: st.integers(0, len(some)).map(
        lambda place: "".join([*some[:place], SIGN, *some[place:]])
    )
)


def in_json(text: str) -> str:
    return json.dumps({"said": text})


SPELLINGS: dict[str, Spell] = {
    "as it is": str,
    "JSON": in_json,
    "JSON in UTF-8": lambda text: json.dumps([text], ensure_ascii=False),
    "JSON in JSON": lambda text: in_json(in_json(text)),
    "JSON in JSON in JSON": lambda text: in_json(in_json(in_json(text))),
    "repr": repr,
    "repr of an object": lambda text: repr({"said": [text]}),
    "repr of JSON": lambda text: repr(in_json(text)),
    "JSON of repr": lambda text: in_json(repr(text)),
    "ascii": ascii,
    "repr of bytes": lambda text: repr(text.encode()),
    "a URL": lambda text: f"https://host/?key={quote(text, safe='')}&b=1",
    "a path of a URL": quote,
    "a form": quote_plus,
    "JSON in a URL": lambda text: quote(in_json(text), safe=""),
    "HTML": html.escape,
    "JSON in HTML": lambda text: html.escape(in_json(text)),
    "a shell": shlex.quote,
    "lines with other ends": lambda text: text.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(secret=SECRETS)
@example(secret='"Zkab')
@example(secret="\\\\Zk\\n")
@example(secret="Zk\\\nab")
@example(secret="\n\nZka\n")
def test_a_value_is_found_in_any_spelling(spelling: str, secret: str) -> None:
    spell = SPELLINGS[spelling]
    spelled = spell(secret)
    text = f"before {spelled} after"
    told = Redaction([secret]).text(text)
    assert SIGN not in told or len(secret.strip()) < SHORTEST
    assert told.startswith("before ")
    assert told.endswith(" after")


@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
@given(secret=SECRETS, before=st.text(max_size=5), after=st.text(max_size=5))
def test_a_value_is_found_in_base64_wherever_it_stands_there(
    encode: Callable[[bytes], bytes], secret: str, before: str, after: str
) -> None:
    secret = f"{secret}{SIGN}and more"
    spelled = encode(f"{before}{secret}{after}".encode()).decode()
    told = Redaction([secret]).text(f"Basic {spelled}.")
    assert REDACTED in told
    sure = encode(secret.encode()).decode()
    assert sure[4:-4] not in told


@given(secret=SECRETS, spelling=st.sampled_from(["as it is", "JSON", "repr"]))
def test_each_line_of_a_value_is_found_alone(secret: str, spelling: str) -> None:
    redaction = Redaction([secret])
    for line in secret.splitlines():
        told = redaction.text(f"  {SPELLINGS[spelling](line)}.")
        assert SIGN not in line or len(line.strip()) < SHORTEST or SIGN not in told


@given(st.text(max_size=3), st.text())
def test_values_that_are_too_short_are_left(secret: str, text: str) -> None:
    assert Redaction([secret]).text(text) == text


@given(st.text())
def test_without_values_nothing_is_changed(text: str) -> None:
    event = TryEnded(1, 2, 3, Ending.FAILED, failure=Failure("OSError", text))
    assert Redaction([]).event(event) is event


def test_long_rows_of_what_a_value_begins_with_cost_no_more_than_other_text() -> None:
    redaction = Redaction(['\\"secret\\', "\\\\another", "'and one more'\n'"])
    for row in ("\\" * 200_000, '\\"' * 100_000, "'\"" * 100_000, "%5C" * 60_000):
        assert redaction.text(row) == row  # the square of it would take an hour


def test_the_longest_of_values_that_begin_alike_is_taken_whole() -> None:
    assert Redaction(["pass", "password", "password1"]).text("password1!") == f"{REDACTED}!"


def test_what_a_storage_holds_of_it_is_told_as_what_a_journal_cannot_carry() -> None:
    redaction = Redaction(["s3cret", "1234567"])
    changes = Changes(
        {"a": 1, "b": ["x", {"s3cret": 1}], "c": {"pin": 1234567}, "d": "a s3cret"},
        ("s3cret-key",),
        {"e": "lock"},
    )
    event = TryEnded(1234567, 0, 1, Ending.REPAIRED, shared=changes)
    after = redaction.event(event)
    assert after.at_us == 1234567
    assert after.shared == Changes(
        {"a": 1},
        (f"{REDACTED}-key",),
        {"e": "lock", "b": "secret", "c": "secret", "d": "secret"},
    )


def test_every_field_of_an_event_is_either_free_text_or_ours() -> None:
    ours = {
        "at_us", "owner", "keys", "key", "number", "attempt", "worker", "notice", "transport",
        "pid", "started", "boot", "ending", "began_us", "phase", "executed", "final", "how",
        "request", "state", "counts", "ignored", "again_in_s", "stream", "decision", "address",
        "replies", "topic", "targets",
    }  # fmt: skip
    kinds: list[Any] = [*events._KINDS.values(), *events._LIVE, TryEnded]
    fields = {field for kind in kinds for field in kind._fields}
    assert fields - FREE == ours


# A run


class Leaky(Job):
    """Says its secret wherever a job can."""

    TRIES = 2
    RETRY_DELAY = 0.0
    spell: Spell = str

    def Check(self, token: str, key: str) -> None:
        spelled = type(self).spell(token)
        self.output.info(spelled)
        self.global_storage["token"] = token
        self.global_storage[f"of {spelled}"] = 1
        self.storage["spelled"] = [spelled]
        raise ValueError(f"no: {spelled}")

    def Run(self, token: str, key: str) -> str:
        print(type(self).spell(token))
        self.global_storage["spelled"] = {"deep": [type(self).spell(token)]}
        raise RuntimeError(token)

    def Cleanup(self) -> None:
        raise OSError(self.storage["spelled"][0])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    store = open_store(tmp_path_factory.mktemp("redaction") / "headway.db", check_version=False)
    store.upgrade()
    yield store
    store.close()


def everything(store: Any, run: str, told: list[Any]) -> list[str]:
    """All that is kept, and was told, of a run, as text."""
    record = store.find(run)
    entries: list[Entry] = list(store.journal(run))
    said = [repr(record), json.dumps(record.launch.inputs), store.plan(run)]
    said += [str(entry.row.body) for entry in entries]
    said += [repr(decode(entry.row)) for entry in entries]
    said += [line.text for line in store.output(run, limit=10_000)]
    return [*said, *map(repr, told)]


@given(secret=SECRETS, spelling=st.sampled_from(sorted(SPELLINGS)))
def test_no_secret_is_kept_or_told_of_a_run(store: Any, secret: str, spelling: str) -> None:
    if len(secret.strip()) < SHORTEST:
        return
    Leaky.spell = SPELLINGS[spelling]
    plan, definitions, *_ = compile_jobs(type("Root", (DummyJob,), {"DEPS": (Leaky,)}))
    inputs = {"token": secret, "key": "k"}
    loaded = Loaded("leaky.py", plan, definitions, inputs, secrets={"token": ""})
    told: list[Any] = []
    watch = launching.Watch(phases=True, trace=True)
    runner = launching.begin(store, loaded, Inline(), launching.Options(), [told.append], watch)
    run = runner.run_id
    request = store.ask(run, "cancel", {"why": f"for {secret}"}, "somebody", 0)
    launching.carry_out(runner)
    assert store.request(request).answer is not None
    whole = [line for line in secret.splitlines() if len(line.strip()) >= SHORTEST]
    found = [said for said in everything(store, run, told) if secret in said]
    found += [
        said for said in everything(store, run, told) for line in whole if line.strip() in said
    ]
    assert found == []
    if "\n" not in secret and "\r" not in secret and "\u2028" not in secret:
        assert [said for said in everything(store, run, told) if SIGN in said] == []


def test_a_run_that_is_taken_up_is_not_given_another_value_in_place_of_a_secret(
    tmp_path: Path,
) -> None:
    from headway.jobs.shared import SharedStorage
    from headway.runtime.recovery import Stood

    plan, *_ = compile_jobs(type("Root", (DummyJob,), {"DEPS": (Leaky,)}))
    changes = Changes({"token": "s3cret", "plain": 1})
    event = TryEnded(1, 0, 1, Ending.PASSED, shared=changes)
    stood = Stood(plan, [Redaction(["s3cret"]).event(event)]).start()
    assert isinstance(stood.shared, SharedStorage)
    assert dict(stood.shared) == {"plain": 1}
    assert stood.owed == {"token": 0}
