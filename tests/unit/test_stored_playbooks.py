"""Stored playbooks: what is checked before one is kept, and what is read back."""

from pathlib import Path

import pytest

from headway.errors import Conflict, Rejected
from headway.ports.playbooks import PlaybookText, PlaybookVersion
from headway.releases.document import DocumentError
from headway.releases.reading import FORMAT
from headway.runtime import stored_playbooks
from headway.runtime.loading import UnknownTarget
from headway.runtime.stored_playbooks import add, edit, found, load_stored, read_back
from headway.testing.memory import MemoryStore

HELLO = b"\xef\xbb\xbf{group: a, name: n@7, execution: [{hosts: [h], steps: [noop:Hello]}]}\r\n"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_what_is_read_back_is_what_was_checked(store: MemoryStore) -> None:
    record = add(store, HELLO, "YAML", "it", who="me")
    version = store.playbook_version(record.id, 1)
    assert version.typed == PlaybookText(HELLO.decode(), "YAML", FORMAT)
    assert version.typed.text.encode() == HELLO
    playbook = read_back(record, version)
    assert (playbook.group, playbook.name) == (record.group, record.name) == ("a", "n@7")


def test_nothing_wrong_is_kept(store: MemoryStore) -> None:
    with pytest.raises(DocumentError) as told:
        add(store, HELLO.replace(b"noop:Hello", b"noop.Hello"), "YAML", "it.yaml", who="me")
    assert str(told.value).startswith("it.yaml:1:")
    with pytest.raises(DocumentError):
        add(store, b"\xff", "YAML", "it", who="me")
    assert store.playbooks() == []
    record = add(store, HELLO, "YAML", "it", who="me")
    with pytest.raises(DocumentError, match="this playbook is of group 'a'"):
        edit(store, record, HELLO.replace(b"group: a", b"group: b"), "YAML", "it", who="me")
    assert store.find_playbook(record.id) == record


def test_the_very_same_text_makes_no_version(store: MemoryStore) -> None:
    record = add(store, HELLO, "YAML", "it", who="me")
    assert edit(store, record, HELLO, "YAML", "it", who="you") == record
    after = edit(store, record, HELLO + b"\n", "YAML", "it", who="you")
    assert (after.version, after.who) == (2, "you")
    with pytest.raises(Conflict):
        edit(store, record, HELLO + b" ", "YAML", "it", who="me")
    with pytest.raises(Conflict):
        edit(store, after, HELLO + b"\n", "YAML", "it", who="me", expected=1)
    store.remove_playbook(record.id, "me", 1)
    with pytest.raises(Rejected):
        edit(store, store.find_playbook(record.id), HELLO + b"\n", "YAML", "it", who="me")


def test_a_newer_format_is_refused_and_a_stricter_reader_says_what_it_minds(
    store: MemoryStore,
) -> None:
    record = add(store, HELLO, "YAML", "it", who="me")
    newer = PlaybookVersion(2, PlaybookText("?!", "YAML", FORMAT + 1), "me", 1)
    with pytest.raises(Rejected, match=r"stored by a newer Headway .*: upgrade this Headway"):
        read_back(record, newer)
    older = PlaybookVersion(3, PlaybookText("{group: a}", "YAML", FORMAT), "me", 1)
    with pytest.raises(DocumentError, match=f"playbook:{record.id}@3:1:1: execution: is missing"):
        read_back(record, older)


def test_a_target_means_one_version_for_ever(store: MemoryStore, tmp_path: Path) -> None:
    record = add(store, HELLO, "YAML", "it", who="me")
    edit(store, record, HELLO.replace(b"Hello", b"Bye"), "YAML", "it", who="me")
    short = record.id[:8]
    for target, number in ((f"playbook:{short}", 2), (f"playbook:{short}@1", 1)):
        loaded = load_stored(store, target, {}, {})
        assert loaded.target == f"playbook:{record.id}@{number}"
        assert loaded.name == "n@7"
    assert found(store, "playbook:a/n@7@1")[1].number == 1
    store.remove_playbook(record.id, "me", 1)
    assert load_stored(store, f"playbook:{record.id}@1", {}, {}).plan.names
    with pytest.raises(UnknownTarget, match="was removed by me"):
        load_stored(store, f"playbook:{record.id}", {}, {})


@pytest.mark.parametrize("target", ["playbook:", "playbook:@1", "playbook:a/n", "playbook:0@x"])
def test_what_names_no_stored_playbook_is_an_unknown_target(
    store: MemoryStore, target: str
) -> None:
    add(store, HELLO, "YAML", "it", who="me")
    with pytest.raises(UnknownTarget):
        stored_playbooks.found(store, target)
