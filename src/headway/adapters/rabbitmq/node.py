"""Asks a node what it tells no client, by rabbitmqctl, where its administrator lets us."""

import re
import subprocess
import time
from collections.abc import Sequence
from typing import NamedTuple

from headway.errors import Unavailable

PATIENCE_S = 20.0
_ASKED = (
    "E = fun(K) -> case application:get_env(rabbit, K) of {ok, V} -> V; _ -> undefined end end,"
    " {E(consumer_timeout), E(max_message_size), length(rabbit_alarm:get_alarms()),"
    " os:system_time(millisecond), rabbit_nodes:cluster_name()}."
)
_ANSWER = re.compile(
    r'\{(\d+|undefined),\s*(\d+|undefined),\s*(\d+),\s*(\d+),\s*<<"(.*?)">>\}', re.DOTALL
)


class Node(NamedTuple):
    """What it said."""

    cluster: str
    consumer_timeout_ms: int | None  # None: deliveries may stay unsettled for ever
    message_bytes: int | None
    alarms: int
    ahead_s: float  # of our clock, give or take ``unsure_s``
    unsure_s: float


def ask_node(command: Sequence[str]) -> Node:
    """``command``: how rabbitmqctl is called, ``sudo`` and ``-n`` included.

    Raises: Unavailable.
    """
    began = time.time()
    try:
        said = subprocess.run(
            [*command, "-q", "eval", _ASKED],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{command[0]} cannot be asked: {error}") from error
    ended = time.time()
    found = _ANSWER.search(said.stdout)
    if said.returncode or found is None:
        words = (said.stderr or said.stdout).strip().splitlines()
        raise Unavailable(f"{' '.join(command)} says: {words[0] if words else 'nothing'}")
    timeout, size, alarms, at_ms, cluster = found.groups()
    return Node(
        cluster,
        None if timeout == "undefined" else int(timeout),
        None if size == "undefined" else int(size),
        int(alarms),
        int(at_ms) / 1000 - (began + ended) / 2,
        (ended - began) / 2,
    )
