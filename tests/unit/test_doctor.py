"""What the doctor makes of clocks, versions and silent servers."""

import socket
from collections.abc import Iterator

import pytest

from headway.adapters.bus_address import MemoryAddress, RabbitAddress
from headway.adapters.rabbitmq.examination import Examination
from headway.errors import HeadwayError, Refused, Unavailable
from headway.runtime.doctor import clock, permissions, versions
from headway.runtime.doctor.finding import Area, Grade
from headway.wire.rights import (
    SENDER,
    Act,
    Binds,
    Consumes,
    DeclaresExchange,
    DeclaresQueue,
    Publishes,
    commands,
    rights_of,
    worker,
)


def graded(area: Area) -> list[tuple[Grade, str]]:
    return [(one.grade, one.says) for one in area.findings]


# Clocks


def watched(strayed_s: float = 0.0, passed_s: float = 1.0) -> tuple[clock.Watch, clock.Watch]:
    return clock.Watch(5.0, 1e9), clock.Watch(5.0 + passed_s, 1e9 + passed_s + strayed_s)


@pytest.mark.parametrize(("strayed_s", "grade"), [(0.01, Grade.OK), (-0.5, Grade.WARNING)])
def test_a_clock_that_is_set_while_we_look_is_noticed(strayed_s: float, grade: Grade) -> None:
    area = Area("clock")
    clock.examine(area, *watched(strayed_s), [], 0)
    assert [one for one, _ in graded(area)] == [grade]


def test_a_monotonic_clock_that_goes_back_is_a_problem() -> None:
    area = Area("clock")
    clock.examine(area, *watched(passed_s=-1.0), [], 0)
    assert graded(area)[0][0] is Grade.PROBLEM


@pytest.mark.parametrize(
    ("ahead_s", "unsure_s", "grade"),
    [
        (0.2, 0.01, Grade.OK),
        (1.5, 0.1, Grade.WARNING),
        (-3.0, 0.1, Grade.WARNING),
        (1.5, 0.9, Grade.OK),  # it may be right, for all we know
    ],
)
def test_another_clock_may_differ_by_a_second_beyond_what_is_unsure(
    ahead_s: float, unsure_s: float, grade: Grade
) -> None:
    area = Area("clock")
    other = clock.Other("the database's", ahead_s, unsure_s)
    clock.examine(area, *watched(), [other], 0)
    assert graded(area)[1][0] is grade


# Versions


@pytest.mark.parametrize(
    ("product", "version", "grade"),
    [
        ("RabbitMQ", "3.10.8", Grade.OK),
        ("RabbitMQ", "3.13.7", Grade.OK),
        ("RabbitMQ", "3.9.1", Grade.WARNING),
        ("RabbitMQ", "3.7.28", Grade.PROBLEM),
        ("RabbitMQ", "4.1.0-rc.1", Grade.WARNING),
        ("LavinMQ", "2.0", Grade.WARNING),
    ],
)
def test_versions_of_brokers_are_told_apart(product: str, version: str, grade: Grade) -> None:
    area = Area("versions")
    versions.examine(area, (product, version), None)
    assert graded(area)[-1][0] is grade
    assert version in graded(area)[-1][1]


# Rights


class Told:
    """A broker that refuses these acts, and has these things."""

    def __init__(self, refused: set[Act], there: set[Act]) -> None:
        self.refused = refused
        self.there = there

    def exists(self, part: DeclaresExchange | DeclaresQueue) -> bool:
        return part in self.there

    def refusal_of(self, act: Act) -> str | None:
        return "no" if act in self.refused else None


SHARED: set[Act] = {DeclaresExchange("re"), DeclaresQueue("dead")}
FROB = worker("frob")
QUEUE = DeclaresQueue("worker.frob")
BINDING = Binds("worker.frob", "re", "worker.frob")


def test_what_is_there_need_not_be_declared() -> None:
    refused: set[Act] = {QUEUE, *SHARED}
    assert not permissions.lack_of(Told(refused, SHARED), FROB).suffices
    assert permissions.lack_of(Told(refused, {QUEUE, *SHARED}), FROB).suffices


def test_a_binding_that_may_not_be_made_may_be_there() -> None:
    lack = permissions.lack_of(Told({BINDING}, {QUEUE, *SHARED}), FROB)
    assert (lack.suffices, lack.unsure) == (True, [BINDING])
    assert permissions.lack_of(Told({BINDING}, SHARED), FROB).refused == [BINDING]


def test_what_others_have_to_make_first_is_lacking_if_nobody_may() -> None:
    lack = permissions.lack_of(Told(set(SHARED), set()), FROB)
    assert set(lack.missing) == SHARED
    assert permissions.lack_of(Told(set(), set()), FROB).suffices


def test_rights_are_the_least_that_allow_the_acts() -> None:
    rights = rights_of([QUEUE, Consumes("worker.frob"), Publishes("", "*"), Publishes("re", "a.*")])
    assert rights.configure == rights.read == r"^worker\.frob$"
    assert rights.write == "^(amq\\.default|re)$"
    assert rights.topics == {"re": ("^a\\..+$", "^$")}
    assert rights_of([]).configure == "^$"


def test_commands_can_be_typed_whatever_the_names_are() -> None:
    (first, *_) = commands(rights_of(SENDER.acts), "o'brien", "my vhost")
    assert first.startswith("rabbitmqctl set_permissions -p 'my vhost' 'o'\"'\"'brien' '^")


@pytest.mark.parametrize("name", ["worker", "worker:", "king", ""])
def test_a_component_that_there_is_not_is_none(name: str) -> None:
    assert permissions.wanted_component(name) is None


# Servers


@pytest.fixture
def silent() -> Iterator[int]:
    """A port at which somebody listens and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_server_that_says_nothing_is_not_waited_for_for_ever(silent: int) -> None:
    with pytest.raises(Unavailable):
        Examination(RabbitAddress("127.0.0.1", "a", "b", port=silent), answer_s=0.2)


def test_an_error_that_is_no_address_is_none(silent: int) -> None:
    from headway.runtime.doctor import Asked, examine

    error: HeadwayError = Refused("not as guest")
    for bus, problems in ((error, 1), (MemoryAddress(), 0)):
        report = examine(Asked(bus, "nowhere/at/all.db", "process", False))
        assert report.count(Grade.PROBLEM) == problems
