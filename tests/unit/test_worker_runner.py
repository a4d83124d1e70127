"""Several worker objects in one process: they serve together, and leave together."""

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headway.errors import Refused
from headway.ports.bus import Binding, Queue
from headway.runtime.worker import Worker
from headway.runtime.worker_runner import serve
from headway.wire import names
from tests.unit.serving import DEADLINE_S, Desk, desk, logger_to, step, worker

FROB = "worker.frob"


@pytest.fixture
def at() -> Iterator[Desk]:
    with desk() as made:
        # There before its workers, so that a step can wait for them.
        made.bus.declare(Queue(FROB, bindings=(Binding(names.EXCHANGE, FROB),)))
        yield made


class Serving:
    """``serve`` in a thread."""

    def __init__(self, at: Desk, worker_class: type[Worker], concurrency: int) -> None:
        self.raised: list[BaseException] = []
        self._thread = threading.Thread(
            target=self._serve, args=(at, worker_class, concurrency), daemon=True
        )
        self._thread.start()

    def _serve(self, at: Desk, worker_class: type[Worker], concurrency: int) -> None:
        try:
            serve(worker_class, at.connection(), None, logger_to(at.log), concurrency)
        except BaseException as error:
            self.raised.append(error)

    def wait(self) -> list[BaseException]:
        """What it raised, when it has ended."""
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), "the others go on as if nothing had happened"
        return self.raised


class Objects:
    """Worker objects of one class: one of them ends as the test says while the first works."""

    def __init__(self, odd: int, end: Callable[[], object]) -> None:
        self.go_on = threading.Event()
        self.made: list[Worker] = []
        self.ended: list[Worker] = []
        objects = self

        class FrobWorker(Worker):
            def __init__(self, *arguments: Any, **keywords: Any) -> None:
                super().__init__(*arguments, **keywords)
                objects.made.append(self)

            def run_forever(self) -> None:
                if self is objects.made[odd]:
                    assert objects.go_on.wait(DEADLINE_S)
                    end()
                else:
                    super().run_forever()
                    objects.ended.append(self)

            def process(self, _: Any, deliver: Any, properties: Any, body: Any, out: Any) -> None:
                run, replies = properties.correlation_id, properties.reply_to
                self.send(replies, run, {"status": "started"}, exchange="")
                objects.go_on.set()
                assert self._service.stopping.wait(DEADLINE_S)
                self.send(replies, run, {"status": "completed"}, exchange="")

        self.worker_class = FrobWorker


def refuse() -> None:
    raise Refused("user 'frob' may not consume queue 'worker.frob'")


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_when_one_object_fails_all_finish_their_steps_and_leave_and_it_is_said(
    at: Desk, odd: int
) -> None:
    objects = Objects(odd, refuse)
    serving = Serving(at, objects.worker_class, 3)
    at.send(step())
    assert [at.reply()["status"] for _ in range(2)] == ["started", "completed"]
    (raised,) = serving.wait()
    assert isinstance(raised, Refused)
    assert len(objects.ended) == 2
    said = f"ERROR worker {odd + 1} failed, so all stop: Refused: user 'frob' may not consume"
    assert said in at.log.text
    assert not at.connections[0].bus.is_open


def test_an_object_that_stops_by_itself_takes_the_others_along(at: Desk) -> None:
    objects = Objects(2, lambda: None)
    serving = Serving(at, objects.worker_class, 3)
    at.send(step())
    assert [at.reply()["status"] for _ in range(2)] == ["started", "completed"]
    assert serving.wait() == []
    assert len(objects.ended) == 2
    assert "failed" not in at.log.text


def test_a_single_object_that_fails_is_not_said_twice(at: Desk) -> None:
    class FrobWorker(worker(lambda *_: None)):  # type: ignore[misc]
        def run_forever(self) -> None:
            refuse()

    (raised,) = Serving(at, FrobWorker, 1).wait()
    assert isinstance(raised, Refused)
    assert "failed" not in at.log.text


def test_threads_take_turns_more_often_for_as_long_as_it_serves(at: Desk) -> None:
    before_s = sys.getswitchinterval()
    seen: list[float] = []

    class FrobWorker(worker(lambda *_: None)):  # type: ignore[misc]
        def run_forever(self) -> None:
            seen.append(sys.getswitchinterval())

    assert Serving(at, FrobWorker, 1).wait() == []
    assert seen == [pytest.approx(0.0005)]
    assert sys.getswitchinterval() == before_s
