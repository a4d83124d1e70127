"""In which order what a worker sends comes to the broker, and what it says of that."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headway.adapters.memory_broker import MemoryBroker
from headway.adapters.memory_bus import MemoryBus
from headway.adapters.publications import Publication
from headway.ports.bus import Message
from headway.wire import names
from tests.unit.serving import REPLIES, desk, step, worker


class Late(Publication):
    """Said to be confirmed only when that is waited for."""

    def __init__(self, message: Message, key: str, exchange: str, note: Callable[[], None]) -> None:
        super().__init__(message, key, exchange)
        self._note = note

    def wait(self, timeout_s: float | None) -> None:
        self._note()
        self.end()


class Watched(MemoryBus):
    """Notes what is published, and when it is known that a line or a notice has arrived."""

    def __init__(self, broker: MemoryBroker, noted: list[str]) -> None:
        super().__init__(broker)
        self._noted = noted

    def publish(self, message: Message, routing_key: str, exchange: str = "") -> Publication:
        made = super().publish(message, routing_key, exchange)
        if exchange != names.EXCHANGE:
            self._noted.append("answer" if routing_key == REPLIES else routing_key)
            return made
        self._noted.append(routing_key)
        return Late(
            message, routing_key, exchange, lambda: self._noted.append(f"{routing_key} arrived")
        )


def test_a_step_is_answered_for_good_when_what_it_said_before_has_arrived() -> None:
    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, output: Any) -> None:
        self.ack(deliver)
        self.send(props.reply_to, props.correlation_id, {"status": "started"}, "")
        output.info("frobbed")
        self.send(props.reply_to, props.correlation_id, {"status": "completed"}, "")

    assert sent_by(process) == ["answer", "output", "output arrived", "answer"]


def test_a_step_is_answered_for_good_when_its_notices_have_arrived() -> None:
    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, output: Any) -> None:
        self.ack(deliver)
        self.notify("frobbed", "all of it", "completed", props.correlation_id)
        self.send(props.reply_to, props.correlation_id, {"status": "completed"}, "")

    assert sent_by(process) == ["notify.irc", "notify.irc arrived", "answer"]


def sent_by(process: Callable[..., None]) -> list[str]:
    """What was noted from the acknowledgement to the final answer."""
    noted: list[str] = []
    with desk() as at:
        at.listen("notices", names.notify_key("irc"))
        at._make_bus = lambda: Watched(at.broker, noted)
        with at.serving(at.make(worker(process))):
            at.send(step(notify={"completed": {"irc": ["#frobbers"]}}))
            while at.reply() == {"status": "started"}:
                pass
    # Without the library's own lines, of which the first has arrived before the acknowledgement.
    last = len(noted) - noted[::-1].index("answer")
    return noted[noted.index("output arrived") + 1 : last]


@pytest.mark.parametrize(
    ("config", "threshold", "is_promised"),
    [({}, None, True), ({"OUTPUT_LEVEL": "info"}, None, False), ({}, "info", False)],
)
def test_the_final_answer_promises_the_last_line_where_one_follows(
    tmp_path: Path, config: dict[str, Any], threshold: str | None, is_promised: bool
) -> None:
    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, output: Any) -> None:
        if threshold is not None:
            output.setLevel(threshold)
        for status in ("started", "completed"):
            self.send(props.reply_to, props.correlation_id, {"status": status}, "")

    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    with desk() as at:
        with at.serving(at.make(worker(process), config_file=file)):
            at.send(step())
            answers = [at.next().message for _ in range(2)]
        lines = []
        while not at.is_silent("output-watch"):
            lines.append(at.next("output-watch").message)
    assert [names.CLOSING in answer.headers for answer in answers] == [False, is_promised]
    last = [line for line in lines if line.headers.get(names.CLOSING) is True]
    assert [b"Finished FrobWorker" in line.body for line in last] == [True] * is_promised
    assert last == lines[-1:] * is_promised
