"""What the re-worker seed says of the library, claim by claim, on the bus in memory."""

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import reworker.output
import reworker.utils
import reworker.worker
from headway.adapters.memory_bus import MemoryBus
from headway.errors import DefinitionError, Rejected, WireError
from headway.ports.bus import (
    Binding,
    Delivery,
    Exchange,
    Message,
    Queue,
    QueueKind,
    Settlement,
)
from headway.runtime.worker_log import app_logger
from headway.wire import names
from headway.wire.messages import Claim, Grant
from tests.unit.serving import CLAIMS, DEADLINE_S, REPLIES, Desk, desk, step, worker


@pytest.fixture
def at() -> Iterator[Desk]:
    with desk() as made:
        yield made


def done(
    self: Any, channel: Any, basic_deliver: Any, properties: Any, body: Any, output: Any
) -> bool:
    """A process that does nothing, well."""
    self.ack(basic_deliver)
    self.send(properties.reply_to, properties.correlation_id, {"status": "completed"}, "")
    return True


# Implementing a worker


def test_a_worker_is_a_subclass_that_overrides_process(at: Desk) -> None:
    class FrobWorker(reworker.worker.Worker):
        process = done

    with at.serving(at.make(FrobWorker)):
        at.send(step())
        assert at.reply() == {"status": "completed"}


def test_a_worker_without_process_fails_its_steps_and_says_so(at: Desk) -> None:
    with at.serving(at.make(type("FrobWorker", (reworker.worker.Worker,), {}))):
        at.send(step())
        assert "FrobWorker does not define process" in at.reply()["data"]


def test_missing_dynamic_inputs_are_named_before_process_is_called(at: Desk) -> None:
    called = threading.Event()
    frob = worker(lambda self, *given: called.set(), dynamic=("environment", "cart"))
    with at.serving(at.make(frob)):
        at.send(step(dynamic={"cart": "bitmath"}))
        assert at.reply() == {
            "status": "failed",
            "data": "FrobWorker lacks the dynamic inputs environment",
        }
        assert at.next("dead-watch").message.headers[names.REASON].endswith("environment")
    assert not called.is_set()


def test_dynamic_inputs_that_are_there_reach_process(at: Desk) -> None:
    seen = []

    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        seen.append(body["dynamic"])
        done(self, channel, deliver, props, body, out)

    with at.serving(at.make(worker(process, dynamic=("cart",)))):
        at.send(step(dynamic={"cart": "bitmath"}))
        assert at.reply()["status"] == "completed"
    assert seen == [{"cart": "bitmath"}]


def test_a_config_file_is_read_as_json(at: Desk, tmp_path: Path) -> None:
    (tmp_path / "frob.json").write_text('{"workshop": "/srv/frob"}')
    with_one = at.make(worker(done), config_file=str(tmp_path / "frob.json"))
    assert with_one._config == {"workshop": "/srv/frob"}
    assert at.make(worker(done))._config == {}


@pytest.mark.parametrize(
    ("content", "says"),
    [("{", "is not JSON"), ("[]", "is no JSON object"), (None, "cannot be read")],
)
def test_a_config_file_that_is_wrong_is_named(
    at: Desk, tmp_path: Path, content: str | None, says: str
) -> None:
    file = tmp_path / "frob.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DefinitionError, match=rf"frob\.json {says}"):
        at.make(worker(done), config_file=str(file))


# Logging


def test_the_application_log_goes_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    logger = app_logger("FrobWorkerOfATest")
    logger.info("going to frob")
    logger.debug("not shown")
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.endswith(" - FrobWorkerOfATest - INFO - going to frob\n")
    assert said.err.count("\n") == 1


def test_a_logger_that_is_given_is_used(at: Desk) -> None:
    logger = logging.Logger("mine")
    assert at.make(worker(done), logger=logger).app_logger is logger


def test_output_goes_to_the_bus_with_the_deployments_id(at: Desk) -> None:
    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        self.output = out
        self.output.info("step successful with result: %s", 7)
        done(self, channel, deliver, props, body, out)

    with at.serving(at.make(worker(process))):
        at.send(step())
        first, line, last = (at.next("output-watch").message for _ in range(3))
    assert json.loads(line.body) == {"message": "step successful with result: 7", "level": "info"}
    assert line.correlation_id == "run-1"
    assert b"Starting FrobWorker.run-1" in first.body
    assert b"Finished FrobWorker.run-1" in last.body


def test_output_has_levels_and_a_threshold(at: Desk, tmp_path: Path) -> None:
    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        for level in ("debug", "info", "warn", "warning", "error", "critical", "fatal"):
            getattr(out, level)("at %s", level)
        out.log("warn", "a word")
        out.log("info", "too low")
        out.setLevel("nonsense")
        out.setLevel("Error")
        out.warning("no more")
        out.error("the end")

    (tmp_path / "frob.json").write_text('{"OUTPUT_LEVEL": "WARN"}')
    with at.serving(at.make(worker(process), config_file=tmp_path / "frob.json")):
        at.send(step())
        said: list[Any] = []
        while not said or said[-1]["message"] != "the end":
            said.append(at.output())
    assert [(one["level"], one["message"]) for one in said] == [
        ("warning", "at warn"),
        ("warning", "at warning"),
        ("error", "at error"),
        ("critical", "at critical"),
        ("critical", "at fatal"),
        ("warning", "a word"),
        ("error", "the end"),
    ]


def test_output_that_cannot_be_sent_as_it_is_disturbs_no_step(at: Desk) -> None:
    said: list[Any] = []

    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        out.info("half a pair: \ud800")
        out.info("%d frobs", "many")
        out.info("x" * 250_000)
        done(self, channel, deliver, props, body, out)

    with at.serving(at.make(worker(process))):
        at.send(step())
        assert at.reply()["status"] == "completed"
        said.extend(at.output()["message"] for _ in range(6))
    assert said[1] == "half a pair: ?"
    assert said[2].startswith("%d frobs ('many',)")
    assert [len(text) for text in said[3:]] == [100_000, 100_000, 50_000]


# send


def test_send_publishes_with_the_topic_as_routing_key_and_the_exchange_re(at: Desk) -> None:
    at.listen("elsewhere", "some.topic")

    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        self.send("some.topic", "run-2", ["a", "list"])
        done(self, channel, deliver, props, body, out)

    with at.serving(at.make(worker(process))):
        at.send(step())
        delivery = at.next("elsewhere")
    assert (delivery.exchange, delivery.routing_key) == ("re", "some.topic")
    assert json.loads(delivery.message.body) == ["a", "list"]
    assert delivery.message.correlation_id == "run-2"
    assert (delivery.message.reply_to, delivery.message.app_id) == ("log", "frobworker")


def test_what_nobody_serves_is_an_error_at_once_that_names_it(at: Desk) -> None:
    said: list[str] = []

    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        for struct, topic in (
            (step(), "worker.nobody"),
            (object(), REPLIES),
            ("x" * (1 << 20), ""),
        ):
            with pytest.raises((Rejected, WireError)) as caught:
                self.send(topic, "run-1", struct)
            said.append(str(caught.value))
        done(self, channel, deliver, props, body, out)

    with at.serving(at.make(worker(process))):
        at.send(step())
        assert at.reply()["status"] == "completed"
    assert "worker.nobody" in said[0]
    assert "cannot be written as JSON" in said[1]
    assert "the limit is" in said[2]


def test_an_answer_carries_who_gives_it_and_to_which_attempt(at: Desk) -> None:
    frob = at.make(worker(done))
    with at.serving(frob):
        at.send(step())
        answer = at.next().message
    assert answer.message_id == "attempt-1"
    assert answer.headers == {
        names.WORKER: frob._service.connection.worker,
        names.NOTICES: [],
        names.CLOSING: True,
    }


def test_an_answer_whose_queue_is_gone_is_kept_until_it_is_back(at: Desk) -> None:
    with at.serving(at.make(worker(done))):
        at.send(step(), reply_to="later")
        answers = at.connections[0].answers
        with answers._changed:
            assert answers._changed.wait_for(lambda: answers.kept, DEADLINE_S)
        at.listen("later")
        assert json.loads(at.next("later").message.body) == {"status": "completed"}


def test_an_answer_that_comes_too_late_is_counted(at: Desk) -> None:
    with at.serving(at.make(worker(done))):
        at.send(step(), reply_to="never", headers={names.DEADLINE: 1})
        at.send(step())
        at.reply()
    answers = at.connections[0].answers
    answers.close(1.0)
    assert (answers.lost, answers.kept) == (1, 0)


def test_a_step_that_wants_no_answer_gets_none(at: Desk) -> None:
    with at.serving(at.make(worker(done))):
        at.send(step(), reply_to=None)
        at.send(step(), reply_to="log")
        at.send(step())
        assert at.reply() == {"status": "completed"}
    assert at.is_silent()


# notify


NOTIFY = {"failed": {"irc": ["#aurora"], "email": ["a@example.net"]}, "completed": {"irc": ["#b"]}}


def notifying(*arguments: Any, **keywords: Any) -> Any:
    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        self.notify(*arguments, **keywords)
        done(self, channel, deliver, props, body, out)

    return worker(process)


def test_notify_tells_whom_the_step_names_for_the_phase_on_each_transport(at: Desk) -> None:
    at.listen("notices", "notify.*")
    with at.serving(at.make(notifying("x" * 100, "long", "failed", "run-1"))):
        at.send(step(notify=NOTIFY))
        told = [at.next("notices") for _ in range(2)]
        answer = at.next().message
    assert {one.routing_key: json.loads(one.message.body) for one in told} == {
        "notify.irc": {
            "slug": "x" * 80, "message": "long", "phase": "failed", "target": ["#aurora"],
        },
        "notify.email": {
            "slug": "x" * 80, "message": "long", "phase": "failed", "target": ["a@example.net"],
        },
    }  # fmt: skip
    assert {one.message.correlation_id for one in told} == {"run-1"}
    assert answer.headers[names.NOTICES] == ["failed.irc", "failed.email"]


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        (("run-1", "other"), {}),
        (("run-1", ["#ignored"], "other"), {}),
        (("run-1",), {"exchange": "other"}),
        ((), {"target": ["#ignored"], "exchange": "other"}),
    ],
)
def test_notify_takes_its_exchange_where_old_and_new_workers_put_it(
    at: Desk, arguments: Any, keywords: Any
) -> None:
    heard = threading.Event()
    bindings = (Binding("other", "notify.irc"),)
    at.bus.declare(Exchange("other"), Queue("others", QueueKind.CLASSIC, bindings))

    def take(delivery: Delivery) -> None:
        at.bus.settle(delivery, Settlement.ACK)
        heard.set()

    at.bus.consume("others", take)
    with at.serving(at.make(notifying("s", "m", "completed", *arguments, **keywords))):
        at.send(step(notify=NOTIFY))
        assert at.reply()["status"] == "completed"
        assert heard.wait(DEADLINE_S)
    gives_target = "#ignored" in str((arguments, keywords))
    assert ("notify's target means nothing" in at.log.text) is gives_target


def test_a_notice_that_nobody_hears_disturbs_nothing_and_is_counted(at: Desk) -> None:
    with at.serving(at.make(notifying("s", "m", "failed"))):
        for _ in range(3):
            at.send(step(notify=NOTIFY))
            assert at.reply()["status"] == "completed"
    assert at.connections[0].unheard == {"notify.irc": 3, "notify.email": 3}


@pytest.mark.parametrize("notify", [None, [], {"failed": 3}, {"failed": {"irc": "#a"}}, {"x": {}}])
def test_a_step_whose_notify_makes_no_sense_is_worked_on(at: Desk, notify: Any) -> None:
    with at.serving(at.make(notifying("s", "m", "failed"))):
        at.send(step(notify=notify))
        assert at.reply()["status"] == "completed"


# ack, reject: settled once, by process or after it


def settling(how: str, *, fails: bool = False, answer: bool = True) -> Any:
    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        if how == "ack":
            self.ack(deliver)
            self.ack(deliver)
        elif how == "reject":
            self.reject(deliver)
            self.ack(deliver)
        elif how:
            getattr(channel, how)(deliver.delivery_tag, requeue=False)
        if answer:
            status = {"status": "failed" if how != "ack" else "completed"}
            self.send(props.reply_to, props.correlation_id, status, exchange="")
        if fails:
            raise RuntimeError("out of frobs")

    return worker(process)


@pytest.mark.parametrize(
    ("how", "fails", "is_buried"),
    [
        ("ack", False, False),
        ("", False, False),
        ("", True, True),
        ("ack", True, False),
        ("reject", False, True),
        ("reject", True, True),
        ("basic_nack", False, True),
        ("basic_reject", False, True),
    ],
)
def test_a_delivery_is_settled_once_by_process_or_after_it(
    at: Desk, how: str, fails: bool, is_buried: bool
) -> None:
    with at.serving(at.make(settling(how, fails=fails))):
        at.send(step())
        assert at.reply()["status"] in ("completed", "failed")
        if is_buried:
            letter = at.next("dead-watch")
            assert json.loads(letter.message.body) == step()
            assert letter.message.headers[names.QUEUE] == "worker.frob"
    assert at.connections[0].bus.counts().settled == 1
    assert at.connections[0].bus.counts().ignored == 0
    assert at.broker.depth("worker.frob") == 0
    assert at.is_silent("dead-watch")
    assert at.is_silent(), "one answer only"


def test_a_process_that_raises_is_answered_failed_with_the_reason(at: Desk) -> None:
    with at.serving(at.make(settling("", fails=True, answer=False))):
        at.send(step())
        assert at.reply() == {
            "status": "failed",
            "data": "FrobWorker failed: RuntimeError: out of frobs",
        }
    assert "ERROR run-1 - process failed" in at.log.text


def test_a_missing_key_and_an_exit_are_failures_of_the_step_only(at: Desk) -> None:
    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        if body["parameters"]["subcommand"] == "leave":
            raise SystemExit(3)
        body["cart"]

    with at.serving(at.make(worker(process, dynamic=("env",)))):
        at.send(step(dynamic={"env": "qa"}))
        assert at.reply()["data"] == "FrobWorker failed due to missing key: 'cart'; it needs env"
        at.send(step("leave", dynamic={"env": "qa"}))
        assert at.reply()["data"] == "FrobWorker failed: SystemExit: 3"


def test_a_process_that_ends_without_an_answer_failed(at: Desk) -> None:
    with at.serving(at.make(settling("ack", answer=False))):
        at.send(step())
        assert at.reply() == {"status": "failed", "data": "FrobWorker ended without an answer"}


def test_a_class_may_answer_later(at: Desk) -> None:
    frob = at.make(type("LateFrob", (settling("ack", answer=False),), {"answers_later": True}))
    with at.serving(frob):
        at.send(step(), key="worker.latefrob")
        at.send(step(), key="worker.latefrob", correlation_id="run-2", message_id="attempt-2")
        for _ in range(2):
            while "Finished" not in at.output()["message"]:
                pass
        assert at.is_silent()
        frob.send(REPLIES, "run-2", {"status": "completed"}, exchange="")
        answer = at.next().message
    assert (answer.correlation_id, answer.message_id) == ("run-2", "attempt-2")


def test_a_delivery_may_be_given_to_somebody_again(at: Desk) -> None:
    seen: list[bool] = []

    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        seen.append(deliver.redelivered)
        if len(seen) == 1:
            self.reject(deliver, requeue=True)
        else:
            done(self, channel, deliver, props, body, out)

    with at.serving(at.make(worker(process))):
        at.send(step())
        assert at.reply() == {"status": "completed"}
    assert seen == [False, True]


def test_a_rejection_that_cannot_be_kept_is_logged_and_is_one_all_the_same(
    at: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    frob = at.make(settling("reject"))
    at.bus.delete(names.DEAD)
    with at.serving(frob):
        at.send(step())
        assert at.reply() == {"status": "failed"}
    assert "a rejected message could not be kept in 'dead'" in caplog.text
    assert at.connections[0].bus.counts().settled == 1
    assert at.broker.depth("worker.frob") == 0


# process, and what it is given


def test_process_is_given_what_pika_would_give(at: Desk) -> None:
    seen: list[Any] = []

    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        seen.append((deliver.exchange, deliver.routing_key, deliver.redelivered))
        seen.append((props.correlation_id, props.reply_to, props.headers))
        answer = json.dumps({"status": "completed", "data": body}).encode()
        mine = type(props)(correlation_id=props.correlation_id)
        channel.basic_ack(delivery_tag=deliver.delivery_tag)
        channel.basic_publish("", props.reply_to, answer, mine)

    with at.serving(at.make(worker(process))):
        at.send([1, {"a": None}], headers={"x": 1})
        delivery = at.next()
    assert json.loads(delivery.message.body)["data"] == [1, {"a": None}]
    assert delivery.message.message_id == "attempt-1"
    assert seen == [("re", "worker.frob", False), ("run-1", REPLIES, {"x": 1})]
    assert at.is_silent(), "an answer through the channel is the answer"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "is not JSON"),
        (b"3", "is a bare value"),
        (b"\xff", "is not UTF-8"),
        (b"[" * 100 + b"]" * 100, "is nested"),
        (b'{"a": NaN}', "holds NaN"),
    ],
)
def test_a_message_that_cannot_be_read_is_answered_and_kept_with_the_reason(
    at: Desk, body: bytes, says: str
) -> None:
    with at.serving(at.make(worker(done))):
        at.send(body)
        answer = at.reply()
        letter = at.next("dead-watch")
        at.send(step())
        assert at.reply() == {"status": "completed"}, "the worker goes on"
    assert answer["status"] == "failed"
    assert says in answer["data"]
    assert letter.message.body == body
    assert says in letter.message.headers[names.REASON]


# Where it listens


@pytest.mark.parametrize(
    ("config", "queue", "keys"),
    [
        ({}, "worker.frob", ["worker.frob"]),
        ({"queue": "secretfrob"}, "worker.secretfrob", ["worker.secretfrob"]),
        ({"bindings": ["worker.old"]}, "worker.frob", ["worker.frob", "worker.old"]),
    ],
)
def test_a_worker_listens_where_its_class_or_its_configuration_says(
    at: Desk, tmp_path: Path, config: Any, queue: str, keys: list[str]
) -> None:
    (tmp_path / "frob.json").write_text(json.dumps(config))
    frob = at.make(worker(done), config_file=tmp_path / "frob.json")
    assert frob.serves == queue
    with at.serving(frob):
        for key in keys:
            at.send(step(), key=key)
            assert at.reply() == {"status": "completed"}


@pytest.mark.parametrize("config", [{"queue": 3}, {"queue": ""}, {"bindings": "worker.a"}])
def test_a_configuration_that_names_queues_wrongly_is_refused(
    at: Desk, tmp_path: Path, config: Any
) -> None:
    (tmp_path / "frob.json").write_text(json.dumps(config))
    with pytest.raises(DefinitionError, match=next(iter(config))):
        at.make(worker(done), config_file=tmp_path / "frob.json")


def test_unknown_arguments_of_the_constructor_are_said_and_ignored(at: Desk) -> None:
    at.make(worker(done), output_dir="/srv")
    assert "WARNING the argument output_dir means nothing" in at.log.text


# New in 0.0.5: reconnecting


def test_a_worker_goes_on_when_the_connection_was_lost(at: Desk) -> None:
    with at.serving(at.make(worker(done))):
        at.send(step())
        assert at.reply() == {"status": "completed"}
        at.broker.cut()
        at.send(step())
        assert at.reply() == {"status": "completed"}
    assert at.connections[0].bus.counts().connections == 2


def test_connect_is_also_used_when_reconnecting(at: Desk) -> None:
    connected = threading.Semaphore(0)

    class FrobWorker(worker(done)):  # type: ignore[misc]
        def _connect(self) -> None:
            super()._connect()
            connected.release()

    with at.serving(at.make(FrobWorker)):
        for _ in range(2):  # by the constructor, and when serving begins
            assert connected.acquire(timeout=DEADLINE_S)
        at.broker.cut()
        assert connected.acquire(timeout=DEADLINE_S)
        at.send(step())
        assert at.reply() == {"status": "completed"}


def test_stop_may_come_first_and_twice_and_from_any_thread(at: Desk) -> None:
    frob = at.make(worker(done))
    threads = [threading.Thread(target=frob.stop) for _ in range(10)]
    for thread in threads:
        thread.start()
    frob.run_forever()
    frob.run_forever()
    for thread in threads:
        thread.join(DEADLINE_S)


# Claims


def grant(at: Desk, *, granted: bool = True, reason: str = "") -> Claim:
    """Answer the next claim."""
    message = at.next(CLAIMS).message
    claim = Claim.decode(message.body)
    answer = Grant(attempt=claim.attempt, worker=claim.worker, granted=granted, reason=reason)
    assert message.reply_to is not None
    at.bus.publish(Message(answer.encode()), message.reply_to).wait(DEADLINE_S)
    return claim


CLAIMED = {names.CLAIMS: CLAIMS}


def test_a_step_that_asks_for_a_claim_is_worked_on_when_it_is_granted(at: Desk) -> None:
    with at.serving(at.make(worker(done))):
        at.send(step(), headers=CLAIMED)
        claim = grant(at)
        assert at.reply() == {"status": "completed"}
    assert (claim.attempt, claim.worker) == ("attempt-1", at.connections[0].worker)
    assert at.connections[0].bus.counts().settled == 1


def test_what_is_not_granted_is_not_worked_on(at: Desk) -> None:
    with at.serving(at.make(worker(done))):
        at.send(step(), headers=CLAIMED)
        grant(at, granted=False, reason="another worker has it")
        at.send(step(), message_id="attempt-2")
        assert at.next().message.message_id == "attempt-2"
    assert "attempt-1 is not ours: another worker has it" in at.log.text
    assert at.is_silent("dead-watch")


def test_a_claim_that_nobody_answers_is_asked_again(at: Desk) -> None:
    with at.serving(at.make(worker(done), mq_config=at.connection(ask_again_s=0.05))):
        at.send(step(), headers=CLAIMED)
        assert Claim.decode(at.next(CLAIMS).message.body).attempt == "attempt-1"
        grant(at)
        assert at.reply() == {"status": "completed"}


def test_an_attempt_is_never_begun_twice_in_one_process(at: Desk) -> None:
    with at.serving(at.make(worker(done))):
        at.send(step(), headers=CLAIMED)
        grant(at)
        at.send(step(), headers=CLAIMED)  # nothing to ask: whoever granted it may have gone
        at.send(step(), message_id="attempt-2")
        replies = [at.next().message.message_id for _ in range(2)]
    assert replies == ["attempt-1", "attempt-2"]
    assert at.is_silent()
    assert at.is_silent(CLAIMS)


def test_a_granted_step_may_be_given_back(at: Desk) -> None:
    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        self.reject(deliver, requeue=True)

    with at.serving(at.make(worker(process))):
        at.send(step(), headers=CLAIMED)
        grant(at)
        assert Claim.decode(at.next(CLAIMS).message.body).give_back
    assert at.is_silent()


def test_a_worker_that_stops_before_the_grant_leaves_the_step_to_others(at: Desk) -> None:
    with at.serving(at.make(worker(done))):
        at.send(step(), headers=CLAIMED)
        at.next(CLAIMS)
    assert Claim.decode(at.next(CLAIMS).message.body).give_back
    assert at.broker.depth("worker.frob") == 1


# The other modules of the drop-in name


def test_a_notification_worker_can_serve_steps() -> None:
    parameters = {"slug": "s", "message": "m", "phase": "failed", "target": ["a"], "command": "x"}
    lifted = reworker.utils.step_to_notification_format({"parameters": parameters})
    assert lifted == {"slug": "s", "message": "m", "phase": "failed", "target": ["a"]}


def test_the_output_class_is_there_to_be_imported() -> None:
    said: list[tuple[str, str]] = []
    output = reworker.output.Output(lambda level, text: said.append((level, text)), "INFO")
    output.debug("no")
    output.info("yes")
    assert said == [("info", "yes")]


# Running


def test_runner_says_in_one_line_what_is_wrong_with_its_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from headway.runtime.worker_runner import runner

    (tmp_path / "mq.json").write_text('{"user": "frob"}')
    with pytest.raises(SystemExit) as left:
        runner(worker(done), [str(tmp_path / "mq.json")])
    assert left.value.code == 1
    assert capsys.readouterr().err == (
        "FrobWorker: the mq configuration lacks password, server, vhost\n"
    )
    with pytest.raises(SystemExit) as left:
        runner(worker(done), [])
    assert left.value.code == 2


def test_a_worker_says_what_its_first_argument_may_be() -> None:
    with pytest.raises(DefinitionError, match="mq_config is int"):
        worker(done)(3)  # type: ignore[arg-type]
    with pytest.raises(Rejected, match=r"headway step.*headway up"):
        worker(done)("memory://here")


def test_ten_workers_on_one_connection_share_who_they_are(at: Desk) -> None:
    connection = at.connection()
    workers = [at.make(worker(done), mq_config=connection) for _ in range(10)]
    with at.serving(*workers):
        for number in range(50):
            at.send(step(), correlation_id=f"run-{number}")
        answered = {at.next().message.correlation_id for _ in range(50)}
    assert len(answered) == 50
    assert isinstance(connection.bus, MemoryBus)
    assert connection.bus.counts().connections == 1


@pytest.mark.parametrize(("dynamic", "told"), [("env", "env"), (("env", 3), "env, 3")])
def test_dynamic_inputs_are_named_whole_however_the_class_writes_them(
    dynamic: Any, told: str
) -> None:
    def process(self: Any, channel: Any, deliver: Any, props: Any, body: Any, out: Any) -> None:
        body["dynamic"]["cart"]

    frob = worker(process, dynamic=dynamic)
    with desk() as at, at.serving(at.make(frob)):
        at.send(step())
        assert at.reply()["data"] == f"FrobWorker lacks the dynamic inputs {told}"
        at.send(step(dynamic={"env": 1, "3": 1}))
        assert at.reply()["data"].endswith(f"missing key: 'cart'; it needs {told}")
