"""``headway api`` and ``headway token`` as they are typed."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.doors.typed import Place, ended

DEADLINE_S = 60.0
PLAYBOOK = """
    group: shop
    name: ship
    execution: [{description: web, hosts: [web1.test], steps: [noop:Noop]}]
"""


@contextmanager
def api(place: Place, *words: str) -> Iterator[tuple["subprocess.Popen[str]", httpx.Client, str]]:
    """The process, a client of it, and what it said first."""
    process = place.begin("api", "--listen", "127.0.0.1:0", *words)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        url = said.split()[2].rstrip(",")
        with httpx.Client(base_url=url, verify=False, timeout=DEADLINE_S) as client:
            yield process, client, said
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_it_leaves_at_once_with_a_stream_open(place: Place) -> None:
    playbook = place.type("playbook", "add", str(place.write("ship.yaml", PLAYBOOK))).out.strip()
    with api(place) as (process, client, said):
        assert "/api/v1, store" in said
        assert process.stdout is not None
        assert "There is no token yet" in process.stdout.readline()
        run = client.post(f"/playbooks/{playbook}/deployments", json={}).json()["run"]
        accept = {"accept": "text/event-stream"}
        with client.stream("GET", f"/runs/{run}/events", headers=accept) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "retry: 2000"
            process.send_signal(signal.SIGTERM)
            assert "id: 1" in list(lines)  # to its end: the server closes it in good order
        assert ended(process).code == 0
    assert place.type("runs", "--json").json[0]["state"] == "queued"


def test_beyond_this_machine_it_wants_a_token_first(place: Place) -> None:
    said = place.type("api", "--listen", "0.0.0.0:0", code=1)
    assert "headway token new" in said.err
    assert "write HOST:PORT" in place.type("api", "--listen", "nowhere", code=64).err


def test_a_token_lives_from_new_to_revoke(place: Place) -> None:
    place.write("headway.toml", '[environments]\ntest = ["*.test"]\n')
    playbook = place.type("playbook", "add", str(place.write("ship.yaml", PLAYBOOK))).out.strip()
    token = place.type(
        "token", "new", "ci", "--group", "shop", "--environment", "test", "--expires", "90d"
    ).out.strip()
    (listed,) = place.type("token", "list", "--json").json
    assert (listed["name"], listed["state"]) == ("ci", "holds")
    assert (listed["groups"], listed["environments"]) == (["shop"], ["test"])
    assert listed["expires_at"] > listed["at"]
    assert token not in str(listed)
    bearer = {"authorization": f"Bearer {token}"}
    with api(place) as (_, client, _):
        assert client.get("/runs").status_code == 401
        path = f"/playbooks/{playbook}/deployments"
        assert client.post(path, json={}, headers=bearer).status_code == 201
        said = place.type("token", "revoke", "ci").out
        assert said == f"revoked token {listed['token']} (ci)\n"
        assert client.post(path, json={}, headers=bearer).status_code == 401
    assert "revoked" in place.type("token", "list").out
    assert "already" in place.type("token", "revoke", listed["token"]).out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["new", "ci"], "--group"),
        (["new", " ", "--group", "a"], "NAME has"),
        (["new", "ci", "--group", "a", "--environment", "prod"], "no environment 'prod'"),
        (["new", "ci", "--group", "a", "--expires", "soon"], "--expires 'soon'"),
    ],
)
def test_what_was_mistyped_is_explained(place: Place, words: list[str], said: str) -> None:
    assert said in place.type("token", *words, code=64).err


def test_a_name_is_taken_while_its_token_holds(place: Place) -> None:
    place.type("token", "new", "ci", "--group", "*")
    assert "already" in place.type("token", "new", "ci", "--group", "*", code=1).err
    place.type("token", "revoke", "nobody", code=64)
