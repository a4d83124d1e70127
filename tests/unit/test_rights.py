"""Who may do what."""

import pytest

from headway.errors import DefinitionError
from headway.releases.rights import (
    EVERYTHING,
    Action,
    Rights,
    allows,
    environments_of,
    hosts_beyond,
    patterns_of,
)

SHOP = Rights(("shop",), ("web*.test", "db.test"))


@pytest.mark.parametrize("action", list(Action))
def test_who_may_do_everything_may_do_each_thing(action: Action) -> None:
    assert allows(EVERYTHING, action, "shop", ["web1"])
    assert allows(EVERYTHING, action, "", [])


@pytest.mark.parametrize("action", [one for one in Action if one not in ("public", "look")])
def test_without_rights_nothing_is_allowed(action: Action) -> None:
    assert not allows(Rights(), action, "shop", ["web1.test"])
    assert not allows(Rights(), action, "", [])


@pytest.mark.parametrize(
    ("action", "group", "hosts", "is_allowed"),
    [
        (Action.READ, "shop", [], True),
        (Action.READ, "Shop", [], False),
        (Action.READ, "", [], False),
        (Action.EDIT, "bank", [], False),
        (Action.DEPLOY, "shop", ["web1.test", "WEB2.test"], True),
        (Action.DEPLOY, "shop", ["web1.test", "web1.prod"], False),
        (Action.DEPLOY, "bank", ["web1.test"], False),
        (Action.DEPLOY, "shop", [], False),
        (Action.STEER, "shop", ["db.test"], True),
        (Action.STEER, "shop", ["db.test.evil.org"], False),
        (Action.STEER, "shop", ["my.db.test"], False),
        (Action.STEER, "shop", ["db.test\n"], False),
        (Action.STEER, "shop", ["dbxtest"], False),
    ],
)
def test_group_and_every_host_must_be_theirs(
    action: Action, group: str, hosts: list[str], is_allowed: bool
) -> None:
    assert allows(SHOP, action, group, hosts) is is_allowed


def test_a_group_without_environments_looks_and_has_nothing_done() -> None:
    reader = Rights(("shop",))
    assert allows(reader, Action.READ, "shop")
    assert not allows(reader, Action.STEER, "shop", ["web1.test"])


def test_hosts_that_are_not_theirs_are_named_once() -> None:
    assert hosts_beyond(SHOP, ["a", "web1.test", "a", "b"]) == ["a", "b"]


def test_environments_stand_for_their_hosts() -> None:
    environments = environments_of({"test": ["*.test"], "prod": ["web1.prod", "[::1]"]})
    assert patterns_of(["test", "prod"], environments) == ("*.test", "web1.prod", "[::1]")
    assert patterns_of(["gone"], environments) == ()
    assert patterns_of(["gone", "*"], environments) == ("*",)


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ("test", r"make it a table"),
        ({"a b": []}, "no name for one"),
        ({"*": ["web1"]}, "no name for one"),
        ({"test": "web1"}, "write a list of hosts"),
        ({"test": [7]}, "write a list of hosts"),
        ({"test": ["web 1"]}, "no host"),
        ({"test": [""]}, "no host"),
    ],
)
def test_a_wrong_table_of_environments_is_explained(said: object, part: str) -> None:
    with pytest.raises(DefinitionError, match=part):
        environments_of(said)
