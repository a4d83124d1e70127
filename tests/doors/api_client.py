"""An API that really serves, and clients of it with one token or another."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from headway.doors.web.app import ApiSettings
from headway.doors.web.serving import Listener, beside, listen
from headway.jobs.events import RunEnded, RunIntended, encode
from headway.jobs.states import RunState
from headway.ports.store import Line, Owner, Store
from headway.releases.surroundings import NOTHING, Surroundings
from headway.runtime import clocks, stored_playbooks
from headway.runtime.tokens import new_token

DEADLINE_S = 60.0
ENVIRONMENTS = {"test": ("*.test",), "other": ("*.other",)}
NOBODYS = Owner("elsewhere", 1, "then", "that boot")

SHIP = """\
group: shop
name: ship
lock: [shop]
inputs:
  - {name: cart, default: demo}
  - {name: password, secret: true, default: env:SHOP_PASSWORD}
execution:
  - description: the web servers
    hosts: [web1.test, web2.test]
    steps: [noop:Noop, {noop:Ship: {dynamic: [cart]}}]
"""


class Api:
    """Where it serves, and what it serves."""

    def __init__(self, url: str, store: Store) -> None:
        self.url = url
        self.store = store

    def client(self, token: str = "", **headers: str) -> httpx.Client:
        if token:
            headers["Authorization"] = f"Bearer {token}"
        # Nothing is encrypted here, and to load what certificates are trusted takes its time.
        return httpx.Client(
            base_url=f"{self.url}/api/v1", headers=headers, timeout=DEADLINE_S, verify=False
        )

    def token(
        self,
        name: str = "ci",
        *,
        groups: Sequence[str] = ("*",),
        environments: Sequence[str] = ("*",),
        expires_us: int | None = None,
    ) -> str:
        made, _ = new_token(
            self.store, name, groups, environments, who="test", expires_us=expires_us
        )
        return made

    def playbook(self, text: str = SHIP) -> str:
        added = stored_playbooks.add(self.store, text.encode(), "YAML", "test", who="test")
        return added.id


@contextmanager
def serving(
    store: Store,
    opener: Callable[[], Store] | None = None,
    *,
    environments: Mapping[str, tuple[str, ...]] = ENVIRONMENTS,
    surroundings: Surroundings = NOTHING,
    is_loopback: bool = True,
    listener: Listener | None = None,
) -> Iterator[Api]:
    """Serve the store by a thread; ``opener``: each thread of the API opens its own instead."""
    listener = listener or listen("127.0.0.1:0")
    settings = ApiSettings(is_loopback, environments, surroundings)
    with beside(opener or store, settings, listener):
        yield Api(listener.url, store)


def deployed(client: httpx.Client, playbook: str, **body: Any) -> str:
    """Begin a release; its run's id."""
    answer = client.post(f"/playbooks/{playbook}/deployments", json=body)
    assert answer.status_code == 201, answer.text
    run: str = answer.json()["run"]
    return run


def went_on(store: Store, run: str, state: RunState | None = None) -> int:
    """A core takes the run up and writes what happened; with a state, that it ended so."""
    record = store.find(run)
    epoch = store.take(run, record.epoch, NOBODYS)
    seq = sum(1 for _ in store.journal(run)) + 1
    rows = [encode(RunIntended(clocks.now_us(), 0, 1))]
    lines = [Line(0, 1, clocks.now_us(), "output", f"line {number}") for number in range(3)]
    if state is not None:
        rows.append(encode(RunEnded(clocks.now_us(), state, {})))
    store.append(run, epoch, record.lap, seq, rows, state=state, lines=lines)
    return epoch
