"""A rolling release on this machine: real servers, real visitors, none of them turned away."""

import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.doors.rolling import Fleet, seen_versions

KILLED = 128 + 9
KILLS = 60 if os.environ.get("HEADWAY_FULL") else 4  # spread over the moments of a release


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path / "rolling")
    try:
        made.type("run", "fleet.py")
        yield made
    finally:
        made.type("run", "fleet.py:Down", "--db", "down.db")


def test_a_good_release_goes_from_server_to_server_and_is_done_the_second_time(
    fleet: Fleet,
) -> None:
    verdicts = fleet.plan("2", code=2)
    for host in fleet.hosts:
        assert verdicts[f"pool:OutOfRotation@{host}"] == "will run"
        assert verdicts[f"webapp:Deploy@{host}"] == verdicts[f"webapp:Keep@{host}"] == "will run"
        assert verdicts[f"httprequest:Get@{host}"] == "not checkable"
    assert fleet.versions() == {("1", "1")}

    said = fleet.visited(*fleet.releasing("2"))
    assert seen_versions(said) == {"1", "2"}
    assert fleet.versions() == {("2", "2")}
    assert fleet.out_of_rotation() == []
    times = fleet.times()
    for host, after in pairwise(fleet.hosts):
        in_again = max(times[f"pool:{step}@{host}"][1] for step in ("InRotation", "PutBack"))
        assert in_again <= times[f"pool:OutOfRotation@{after}"][0]

    before = fleet.servers()
    verdicts = fleet.plan("2", code=2)
    checked = ("pool:OutOf", "pool:InRot", "webapp:Deploy", "webapp:Keep")
    assert {verdicts[one] for one in verdicts if one.startswith(checked)} == {"done"}
    again = fleet.visited(*fleet.releasing("2"))
    assert "OutOfRotation" not in again.out  # passed: no server left the rotation
    assert seen_versions(again) == {"2"}
    assert fleet.servers() == before


def test_a_bad_version_stops_at_the_first_server_and_no_visitor_sees_it(fleet: Fleet) -> None:
    first, *others = fleet.servers()
    said = fleet.visited(*fleet.releasing("9"), code=1)
    assert said.out.count("failed: there is no version '9': there are 1, 2, 3\n") >= 3
    assert fleet.servers() == [first, *others]  # not one was touched

    said = fleet.visited(*fleet.releasing("3"), code=1)
    assert f"GET http://{fleet.hosts[0]}/health answered 500, not 200" in said.out
    assert seen_versions(said) == {"1"}
    assert fleet.versions() == {("1", "1")}
    assert fleet.out_of_rotation() == []
    assert fleet.servers()[1:] == others  # were not touched
    assert fleet.servers()[0].pid != first.pid

    (fleet.directory / "versions" / "3.json").write_text('{"greeting": "Good evening"}')
    assert seen_versions(fleet.visited("retry")) == {"1", "3"}
    assert fleet.versions() == {("3", "3")}
    assert fleet.out_of_rotation() == []


def test_two_servers_at_a_time_leave_the_third_to_the_visitors(fleet: Fleet) -> None:
    release = (fleet.directory / "release.yaml").read_text()
    fleet.write("wide.yaml", release.replace("    steps:\n", "    parallel: 2\n    steps:\n"))
    fleet.visited(*fleet.releasing("2", "wide.yaml"))
    assert fleet.versions() == {("2", "2")}
    assert fleet.out_of_rotation() == []
    times = fleet.times()
    out = [times[f"pool:OutOfRotation@{host}"][0] for host in fleet.hosts]
    back = [times[f"pool:InRotation@{host}"][1] for host in fleet.hosts]
    assert max(out[:2]) < min(back[:2])  # both at once
    assert out[2] > min(back[:2])  # the third when one of them is back

    # All three at once would leave nobody: the proxy lets the last one not go.
    fleet.write("all.yaml", release.replace("    steps:\n", "    parallel: 3\n    steps:\n"))
    said = fleet.visited(*fleet.releasing("1", "all.yaml"), code=None)
    if said.code:  # unless one was back before the last was asked for
        assert "it is the last one in rotation" in said.out
    assert fleet.out_of_rotation() == []


def test_a_release_killed_when_the_first_visitor_sees_it_goes_on(fleet: Fleet) -> None:
    killing = ("--kill-at", "2", "headway")
    said = fleet.visited(*fleet.releasing("2"), program=killing, code=KILLED)
    assert seen_versions(said) == {"1", "2"}
    assert fleet.type("runs", "--json").json[0]["state"] == "interrupted"
    fleet.visited("resume")
    assert fleet.versions() == {("2", "2")}
    assert fleet.out_of_rotation() == []


def test_a_release_killed_at_any_moment_goes_on_and_no_visitor_notices(fleet: Fleet) -> None:
    record = fleet.directory / "moments"
    fleet.doomed(f"record {record}", *fleet.releasing("2"))
    moments = record.read_text().splitlines()
    killed = 0
    for number in range(KILLS):
        version = "12"[number % 2]
        # Spread from the first to the last, and not the same of every host.
        moment = moments[(2 * number + 1) * len(moments) // (2 * KILLS)]
        doom = re.sub(r"(start .*) 2$", rf"\1 {version}", moment)
        killed += fleet.doomed(doom, *fleet.releasing(version)).code == KILLED
        said = fleet.visited("resume", code=None)
        over = "it succeeded" in said.err
        assert said.code == 0 or over, (doom, said)
        assert fleet.versions() == {(version, version)}, doom
        assert fleet.out_of_rotation() == [], doom
    # What is committed together depends on the clock, so that a moment may not come again.
    assert killed >= KILLS - 2
