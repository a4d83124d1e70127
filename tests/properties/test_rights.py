"""The policy against a naive reference: whatever is asked of whatever rights."""

from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from headway.releases.rights import Action, Rights, allows

GROUPS = st.sampled_from(["", "*", "shop", "bank", "Shop"])
HOSTS = st.text("ab.*", max_size=5)


def is_allowed(rights: Rights, action: Action, group: str, hosts: list[str]) -> bool:
    """The policy once more, spelled out."""
    if action in (Action.PUBLIC, Action.LOOK):
        return True
    if action is Action.TRACK:
        return "*" in rights.groups
    of_group = "*" in rights.groups or any(one == group != "" for one in rights.groups)
    if action in (Action.READ, Action.EDIT):
        return of_group
    anywhere = "*" in rights.patterns
    each = [any(fnmatchcase(host, one) for one in rights.patterns) for host in hosts]
    return of_group and (anywhere or (bool(hosts) and all(each)))


@given(
    st.builds(Rights, st.lists(GROUPS).map(tuple), st.lists(HOSTS).map(tuple)),
    st.sampled_from(Action),
    GROUPS,
    st.lists(HOSTS),
)
def test_the_policy_is_what_it_is_said_to_be(
    rights: Rights, action: Action, group: str, hosts: list[str]
) -> None:
    assert allows(rights, action, group, hosts) is is_allowed(rights, action, group, hosts)


@given(
    st.lists(GROUPS).map(tuple),
    st.lists(HOSTS).map(tuple),
    st.sampled_from([Action.DEPLOY, Action.STEER]),
    GROUPS,
    st.lists(HOSTS),
    HOSTS,
)
def test_more_hosts_are_never_more_allowed(
    groups: tuple[str, ...],
    patterns: tuple[str, ...],
    action: Action,
    group: str,
    hosts: list[str],
    another: str,
) -> None:
    rights = Rights(groups, patterns)
    if hosts and allows(rights, action, group, [*hosts, another]):
        assert allows(rights, action, group, hosts)
