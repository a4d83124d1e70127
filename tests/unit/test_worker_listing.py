"""Listening for workers, and how the list looks."""

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from headway.adapters.memory_broker import MemoryBroker
from headway.adapters.memory_bus import MemoryBus, MemoryConsumer
from headway.doors.cli import workers
from headway.errors import Refused
from headway.ports.bus import Delivery, Message
from headway.releases.presences import Seen
from headway.runtime.worker_listing import Heard, listen
from headway.wire import names
from headway.wire.messages import Presence, StepUnderWay

S = 1_000_000
NOW_US = 1_800_000_000 * S


def presence(**more: Any) -> Presence:
    known: dict[str, Any] = {
        "worker": "w1",
        "command": "frob",
        "queue": "worker.frob",
        "bindings": ["worker.frob"],
        "kind": "FrobWorker",
        "version": "headway 1",
        "host": "web3",
        "pid": 812,
        "since_us": NOW_US - 3600 * S,
        "interval_s": 5,
    }
    return Presence(**{**known, **more})


class Told(MemoryBus):
    """A bus on which others speak as soon as it listens."""

    def __init__(self, broker: MemoryBroker, *bodies: bytes, user: str = "headway") -> None:
        super().__init__(broker, user)
        self._bodies = bodies

    def consume(
        self,
        queue: str,
        handler: Callable[[Delivery], object],
        *,
        prefetch: int = 1,
        inline: bool = False,
    ) -> MemoryConsumer:
        consumer = super().consume(queue, handler, prefetch=prefetch, inline=inline)
        for body in self._bodies:
            self.publish(Message(body), names.PRESENCE, names.EXCHANGE).wait(20)
        return consumer


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


def heard_by(bus: MemoryBus) -> Heard:
    bus.open()
    with closing(bus):
        return listen(bus, 0.1)


def test_who_speaks_is_heard_and_who_left_is_not_there(broker: MemoryBroker) -> None:
    said = [
        presence(worker="a", number=1),
        presence(worker="b", number=1),
        presence(worker="b", number=2, state="left"),
    ]
    heard = heard_by(Told(broker, *(one.encode() for one in said)))
    assert [one.presence.worker for one in heard.workers] == ["a"]
    assert heard.flawed == 0


def test_what_cannot_be_read_harms_nothing_and_is_counted(broker: MemoryBroker) -> None:
    bodies = [b"", b"[]", b'{"worker":3}', b"\xff", presence().encode(), b'{"a":1,"a":2}']
    heard = heard_by(Told(broker, *bodies))
    assert (len(heard.workers), heard.flawed) == (1, 5)


def test_without_workers_it_ends_all_the_same(broker: MemoryBroker) -> None:
    assert heard_by(Told(broker)).workers == []


def test_who_may_not_listen_is_told_what_it_takes(broker: MemoryBroker) -> None:
    broker.allow("poor", "^re$", "^re$", "^re$")
    with pytest.raises(Refused, match=r"re\.workers\.\*"):
        heard_by(Told(broker, user="poor"))


# How the list looks


def listed(capsys: pytest.CaptureFixture[str], *said: Presence, at_us: int = NOW_US) -> list[str]:
    seen = [Seen(one, NOW_US) for one in said]
    workers._show(Heard(seen, at_us, 0), 6.0, "amqp://here", in_json=False)
    return capsys.readouterr().out.splitlines()


def test_the_list_is_aligned_and_each_step_has_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    doing = [
        StepUnderWay(since_us=NOW_US - 12 * S, run="run-1", command="tweak", subcommand="Do"),
        StepUnderWay(since_us=NOW_US - 2 * S),
    ]
    lines = listed(
        capsys,
        presence(doing=doing, concurrency=4, bindings=["worker.frob", "worker.tweak"]),
        presence(worker="w2", command="x", queue="worker.x", bindings=[], kind="", host="", pid=0),
        presence(worker="w3", state="leaving", doing=doing[:1]),
    )
    columns = [lines[0].index(heading) for heading in workers.HEADINGS]
    cells = [
        [line[a:b].strip() for a, b in zip(columns, [*columns[1:], None], strict=True)]
        for line in lines[1:5]
    ]
    assert [[row[0], row[1], row[2], row[3], row[5]] for row in cells] == [
        ["frob, tweak", "worker.frob", "FrobWorker ×4", "web3, pid 812",
         "tweak:Do of run-1 for 12 s"],
        ["", "", "", "", "a step for 2.0 s"],
        ["x", "worker.x", "?", "?", "nothing"],
        ["frob", "worker.frob", "FrobWorker", "web3, pid 812",
         "leaving; tweak:Do of run-1 for 12 s"],
    ]  # fmt: skip
    assert lines[-1] == "3 workers heard of in 6 s"


def test_who_was_heard_of_and_then_no_more_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    lines = listed(capsys, presence(interval_s=1), at_us=NOW_US + 4 * S)
    assert lines[1].endswith("lost; nothing")


def test_nobody_is_said_plainly(capsys: pytest.CaptureFixture[str]) -> None:
    lines = listed(capsys)
    assert lines[0].startswith("no worker was heard of in 6 s on amqp://here. Serve one:")


def test_what_could_steer_a_terminal_is_shown_as_an_escape(
    capsys: pytest.CaptureFixture[str],
) -> None:
    evil = "\x1b[2J"
    step = StepUnderWay(since_us=0, run=evil, command=evil, subcommand=evil)
    said = presence(queue=evil, kind=evil, host=evil, bindings=[evil], doing=[step])
    assert "\x1b[2J" not in "\n".join(listed(capsys, said))


def test_moments_far_from_now_are_shown_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert "5138-" in listed(capsys, presence(since_us=10**17))[1]
    assert "1970-" in listed(capsys, presence(since_us=0))[1]


def test_the_list_of_a_core_says_whose_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    workers._show_known(Heard([Seen(presence(), NOW_US)], NOW_US, 0), "here.db", in_json=False)
    assert capsys.readouterr().out.splitlines()[-1] == "1 worker known to the core of here.db"
    workers._show_known(Heard([], NOW_US, 0), "here.db", in_json=False)
    assert capsys.readouterr().out.startswith("the core of here.db has heard of no worker.")


def test_programs_get_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    step = StepUnderWay(since_us=NOW_US, run="r", attempt="a", command="frob", subcommand="Do")
    workers._show(Heard([Seen(presence(doing=[step]), NOW_US)], NOW_US, 0), 6.0, "", in_json=True)
    at = "2027-01-15T08:00:00.000000+00:00"
    found = json.loads(capsys.readouterr().out)
    assert found["listened_s"] == 6.0
    (one,) = found["workers"]
    assert one["doing"] == [
        {"run": "r", "attempt": "a", "command": "frob", "subcommand": "Do", "since_at": at}
    ]
    assert (one["state"], one["class"], one["bindings"], one["heard_at"]) == (
        *("busy", "FrobWorker", ["worker.frob"], at),
    )
