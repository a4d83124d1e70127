"""Rights looked at once more, when a release that was queued is about to begin.

Between the request for it and its turn there may be hours: a lock, a core that was away. Meanwhile
its token may have been revoked, or the environments of that token hold fewer hosts.
"""

from collections.abc import Mapping

from headway.ports.store import Launch
from headway.ports.tokens import Tokens
from headway.releases.rights import Action, Rights, allows, has_group, hosts_beyond, patterns_of

Environments = Mapping[str, tuple[str, ...]]  # to patterns of hosts
MOST_NAMED = 5


def refusal(store: Tokens, launch: Launch, environments: Environments) -> str:
    """Why a release may not begin that was asked for with a token; "" if it may.

    That the token has expired is no reason: the release was asked for in time. ``environments``:
    as they stand here; none at all: hosts are not looked at, for nothing is known of them here.
    """
    if not launch.token:
        return ""
    token = store.token_with_id(launch.token)
    if token is None or token.revoked_us is not None:
        return f"the token it was asked for with ({launch.who}) was revoked before it began"
    patterns = patterns_of(token.environments, environments) if environments else ("*",)
    rights = Rights(tuple(token.groups), patterns)
    if allows(rights, Action.DEPLOY, launch.group, launch.hosts):
        return ""
    whose = f"the token it was asked for with ({launch.who})"
    if not has_group(rights, launch.group):
        return f"{whose} is not for the group {launch.group!r}"
    beyond = ", ".join(hosts_beyond(rights, launch.hosts)[:MOST_NAMED])
    return f"the environments of {whose} have no longer all of its hosts ({beyond})"
