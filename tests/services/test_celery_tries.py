"""Celery as the executor: the contract on real Celery workers, and what brokers and workers do."""

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest

pytest.register_assert_rewrite("headway.testing.executors")

from headway.adapters.celery_tries import absent, tasks  # noqa: E402
from headway.adapters.celery_tries.executor import OnCelery  # noqa: E402
from headway.adapters.celery_tries.messages import CLAIM_S, KEPT_S, LEASE_S  # noqa: E402
from headway.errors import Unavailable  # noqa: E402
from headway.jobs.job import Job  # noqa: E402
from headway.jobs.outcomes import Ending  # noqa: E402
from headway.ports.executor import Executor  # noqa: E402
from headway.testing import sample_jobs as jobs  # noqa: E402
from headway.testing.executors import (  # noqa: E402
    BesideContract,
    ExecutorContract,
    ProcessContract,
    Stage,
    failed,
    is_gone,
)
from headway.testing.sample_jobs import LONGEST_S  # noqa: E402
from tests.services.celery_brokers import Broker, broker_of  # noqa: E402
from tests.services.rabbitmq import RabbitMQ, RabbitNode, free_ports  # noqa: E402
from tests.services.redis_server import RedisServer  # noqa: E402
from tests.services.tried_jobs import (  # noqa: E402
    DoesItAndWaits,
    GoesElsewhere,
    RunsAndWaits,
    TellsWord,
)
from tests.services.trying import REPOSITORY, an_app, tries_worker  # noqa: E402

pytestmark = pytest.mark.services

GRACE_S = 0.5  # instead of seconds: what is late here has nothing else to do than to be late
SLOTS = 4


class CeleryContract(BesideContract, ProcessContract, ExecutorContract):
    """On one Celery worker with four processes, the same for all tests."""

    slots = SLOTS

    @pytest.fixture(scope="class")
    @classmethod
    def broker_url(cls) -> str:
        raise NotImplementedError

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def worker(cls, broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
        place = tmp_path_factory.mktemp("celery")
        with tries_worker(place, broker_url, "-c", str(SLOTS), cwd=Path(os.getcwd())) as worker:
            yield worker

    @pytest.fixture
    def executor_factory(self, broker_url: str) -> Callable[[], Executor]:
        app = an_app(broker_url)
        return lambda: OnCelery(app, SLOTS, name="proj", grace_s=GRACE_S)


class TestOnRabbitMQ(CeleryContract):
    @pytest.fixture(scope="class")
    @classmethod
    def broker_url(cls, rabbit_node: RabbitNode) -> Iterator[str]:
        if not rabbit_node.running:
            rabbit_node.start()
        vhost, password = rabbit_node.make_vhost()
        yield rabbit_node.url(vhost, password, vhost)
        rabbit_node.drop_vhost(vhost)


class TestOnRedis(CeleryContract):
    @pytest.fixture(scope="class")
    @classmethod
    def broker_url(cls, redis_server: RedisServer) -> str:
        return redis_server.url


@pytest.fixture(params=["rabbitmq", "redis"])
def broker(request: pytest.FixtureRequest) -> Broker:
    return broker_of(request, request.param)


# What has nothing to do with the kind of broker.
on_rabbitmq = pytest.mark.parametrize("broker", ["rabbitmq"], indirect=True)


class Opened:
    """Opens executors on a broker for jobs, and closes them."""

    def __init__(self, stack: ExitStack, place: Path, url: str) -> None:
        self.place = place
        self.app = an_app(url)
        self._stack = stack

        self.sent = threading.Event()  # when a task was, and is in its queue
        send = self.app.send_task

        def sent(*args: Any, **options: Any) -> Any:
            try:
                return send(*args, **options)
            finally:
                self.sent.set()

        self.app.send_task = sent

    def __call__(self, *wanted: type[Job], lease_s: float = 20.0, **options: Any) -> Stage:
        inputs = options.pop("inputs", {})
        work = options.pop("work", {})
        made = OnCelery(self.app, SLOTS, name="proj", grace_s=GRACE_S, lease_s=lease_s, **options)
        self._stack.callback(made.close)
        return Stage(made, wanted, self.place, (), inputs, work)


@pytest.fixture
def opened(broker: Broker, tmp_path: Path) -> Iterator[Opened]:
    with ExitStack() as stack:
        yield Opened(stack, tmp_path, broker.url)


def test_nothing_is_left_on_the_broker(opened: Opened, broker: Broker, tmp_path: Path) -> None:
    with tries_worker(tmp_path, broker.url, "-c", "1") as worker:
        on = opened(jobs.Repairs, jobs.GoesOnForEver, inputs={"phase": "run"})
        outcome = on.carry_out(jobs.Repairs)
        assert on.clean_up(jobs.Repairs, outcome) is None
        on.start(jobs.GoesOnForEver)
        on.come_to_wait()
        on.executor.close()
        worker.end(signal.SIGTERM)
        left = [name for name in broker.left() if "headway" in name]
        if broker.name == "redis":  # what was said when it was gone is forgotten there in time
            import redis

            with redis.Redis.from_url(broker.url) as client:
                left = [name for name in left if not 0 < cast("int", client.ttl(name)) <= KEPT_S]
        assert left == []


@pytest.mark.parametrize("pool", [("-c", "1"), ("-P", "solo"), ("-P", "threads", "-c", "2")])
def test_the_tries_of_a_process_have_its_two_connections_one_after_another(
    opened: Opened, broker: Broker, tmp_path: Path, pool: Sequence[str]
) -> None:
    with tries_worker(tmp_path, broker.url, *pool):
        on = opened(jobs.Passes)
        on.carry_out(jobs.Passes)
        before = broker.connections()
        for number in range(2, 7):
            assert on.carry_out(jobs.Passes, number).ending is Ending.PASSED
        assert broker.connections() == before


def test_a_broker_that_was_restarted_between_tries_is_connected_to_anew(
    rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    with ExitStack() as stack, tries_worker(tmp_path, rabbitmq.url, "-c", "1"):
        opens = Opened(stack, tmp_path, rabbitmq.url)
        assert opens(jobs.Repairs).carry_out(jobs.Repairs).ending is Ending.REPAIRED
        rabbitmq.kill()
        rabbitmq.restart()
        assert opens(jobs.Passes).carry_out(jobs.Passes).ending is Ending.PASSED


def test_a_process_of_a_worker_that_is_killed_is_noticed_at_once_and_its_check_decides(
    opened: Opened, broker: Broker, tmp_path: Path
) -> None:
    with tries_worker(tmp_path, broker.url, "-c", "2"):
        on = opened(DoesItAndWaits)
        on.start(DoesItAndWaits)
        on.come_to_wait()
        os.kill(int((tmp_path / "parent").read_text()), signal.SIGKILL)
        began = time.monotonic()
        (ended,) = on.ends(1)
        assert time.monotonic() - began < LEASE_S / 2
        assert is_gone(int((tmp_path / "pid").read_text()))
        assert (ended.outcome.ending, ended.outcome.result) == (Ending.REPAIRED, "it is done")
        assert on.notes == ["ran"]


def test_a_worker_that_is_killed_whole_is_noticed_when_its_lease_is_over(
    opened: Opened, broker: Broker, tmp_path: Path
) -> None:
    on = opened(DoesItAndWaits, jobs.DiesAsking, lease_s=4.0)
    with tries_worker(tmp_path, broker.url, "-P", "solo") as worker:
        on.start(DoesItAndWaits)
        on.come_to_wait()
        worker.process.kill()
        worker.wait()
        assert is_gone(int((tmp_path / "pid").read_text()))
    with tries_worker(tmp_path, broker.url, "-P", "solo"):
        (ended,) = on.ends(1)
        assert (ended.outcome.ending, ended.outcome.result) == (Ending.REPAIRED, "it is done")
        assert on.notes == ["ran"]


@on_rabbitmq
def test_without_a_check_on_lost_decides(opened: Opened, broker: Broker, tmp_path: Path) -> None:
    with tries_worker(tmp_path, broker.url, "-c", "2"):
        on = opened(RunsAndWaits)
        on.start(RunsAndWaits)
        on.come_to_wait()
        os.kill(int((tmp_path / "parent").read_text()), signal.SIGKILL)
        (ended,) = on.ends(1)
        assert (ended.outcome.ending, ended.outcome.final) == (Ending.IN_DOUBT, True)
        assert ended.outcome.failure is not None
        assert ended.outcome.failure.type == "WorkerLost"
        assert "was ended while its run went on" in ended.outcome.failure.message


def test_a_task_that_is_delivered_twice_is_carried_out_once(
    opened: Opened, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = opened.app.send_task

    def twice(*args: Any, **options: Any) -> Any:
        send(*args, **options)
        return send(*args, **options)

    monkeypatch.setattr(opened.app, "send_task", twice)
    settings: dict[str, Any] = {"task_acks_late": True, "task_reject_on_worker_lost": True}
    with tries_worker(tmp_path, broker.url, "-c", "2", **settings) as worker:
        on = opened(RunsAndWaits)
        on.start(RunsAndWaits)
        on.come_to_wait()
        # The other one was given it, too, and let it go.
        worker.wait_for(" succeeded in ")
        (tmp_path / "go").touch()
        assert on.ends(1)[0].outcome.ending is Ending.REPAIRED
        worker.wait_for(" succeeded in ", 2)
        assert on.notes == ["ran"]


@on_rabbitmq
def test_a_try_whose_run_is_gone_is_ended_when_its_lease_is_over(
    opened: Opened, broker: Broker, tmp_path: Path
) -> None:
    with tries_worker(tmp_path, broker.url, "-P", "solo"):
        on = opened(jobs.GoesOnForEver, inputs={"phase": "run"}, lease_s=2.0)
        on.start(jobs.GoesOnForEver)
        on.come_to_wait()
        line = on.executor._line._line  # type: ignore[attr-defined]
        line.close()  # as if it were killed, or cut off
        assert is_gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("kill", [False, True])
def test_jobs_go_on_while_the_broker_is_restarted(
    rabbitmq: RabbitMQ, tmp_path: Path, kill: bool
) -> None:
    with ExitStack() as stack, tries_worker(tmp_path, rabbitmq.url, "-P", "solo"):
        on = Opened(stack, tmp_path, rabbitmq.url)(RunsAndWaits, lease_s=60.0)
        on.start(RunsAndWaits)
        on.come_to_wait()
        if kill:
            rabbitmq.kill()
        rabbitmq.restart()
        (tmp_path / "go").touch()
        assert on.ends(1)[0].outcome.ending is Ending.REPAIRED
        assert on.notes == ["ran"]
        assert ("out", "done waiting") in on.lines
        # And what comes next is carried out as ever.
        assert on.carry_out(RunsAndWaits, 2).ending is Ending.REPAIRED


def test_tasks_that_a_broker_lost_are_sent_again(tmp_path: Path) -> None:
    """Redis keeps nothing here: what it had is gone when it is back."""
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("redis-server is missing")
    first = RedisServer(server)
    with ExitStack() as stack:
        stack.callback(first.close)
        opens = Opened(stack, tmp_path, first.url)
        on = opens(jobs.Repairs)
        on.start(jobs.Repairs)
        assert opens.sent.wait(LONGEST_S)
        import redis

        with redis.Redis.from_url(first.url) as client:
            client.flushall()
            client.client_kill_filter(_type="normal", skipme=True)
        with tries_worker(tmp_path, first.url, "-P", "solo"):
            assert on.ends(1)[0].outcome.ending is Ending.REPAIRED


@on_rabbitmq
def test_a_task_that_went_astray_is_sent_again(
    opened: Opened, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "AGAIN_S", 1.0)
    monkeypatch.setattr(absent, "LOOK_AFTER_S", 1.0)
    send, lost = opened.app.send_task, threading.Event()

    def lose_one(*args: Any, **options: Any) -> Any:
        if lost.is_set():
            return send(*args, **options)
        lost.set()
        return None

    opened.app.send_task = lose_one
    with tries_worker(tmp_path, broker.url, "-P", "solo"):
        assert opened(jobs.Repairs).carry_out(jobs.Repairs).ending is Ending.REPAIRED


@on_rabbitmq
def test_a_queue_that_nobody_consumes_times_out_with_that_reason(
    opened: Opened,
    broker: Broker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with tries_worker(tmp_path, broker.url, "-P", "solo"):
        monkeypatch.setattr(absent, "LOOK_AFTER_S", 0.5)
        on = opened(GoesElsewhere, nobody_s=4.0)
        outcome = on.carry_out(GoesElsewhere)
        failed(
            outcome,
            "TimedOut",
            "no Celery worker took it for 4 s: no Celery worker consumes the queue 'elsewhere':"
            " start one with celery -A proj worker -Q elsewhere",
        )
        # Whoever waits for that is told long before.
        (told,) = [one.message for one in caplog.records if "elsewhere" in one.message]
        assert told.endswith("start one with celery -A proj worker -Q elsewhere. A try waits 4 s")


@on_rabbitmq
def test_a_worker_that_does_not_know_the_task_is_told_what_to_add(
    opened: Opened, broker: Broker, tmp_path: Path
) -> None:
    with tries_worker(tmp_path, broker.url, "-P", "solo", include="") as worker:
        on = opened(jobs.Repairs, nobody_s=1.0)
        outcome = on.carry_out(jobs.Repairs)
        worker.wait_for("Received unregistered task")
        assert outcome.failure is not None
        assert outcome.final
        assert outcome.failure.type == "DefinitionError"
        assert "knows the task headway.try" in outcome.failure.message
        assert "include=['headway.toolbox.tries']" in outcome.failure.message


@pytest.mark.parametrize("words", [("-c", "1"), ("-P", "solo")])
def test_a_job_waits_for_workers_that_are_busy(
    opened: Opened, broker: Broker, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """With a pool of one thread, a worker that is at a task answers nobody."""
    with tries_worker(tmp_path, broker.url, *words):
        on = opened(jobs.GoesOnForEver, jobs.Repairs, inputs={"phase": "run"}, nobody_s=1.0)
        on.start(jobs.GoesOnForEver)
        on.come_to_wait()
        on.start(jobs.Repairs)
        assert not list(on.executor.wait(6.0))
        (tmp_path / "go").touch()
        assert {one.outcome.ending for one in on.ends(2)} == {Ending.REPAIRED}


@on_rabbitmq
def test_a_run_waits_for_a_worker_that_another_run_keeps_too_busy_to_answer(
    opened: Opened, broker: Broker, tmp_path: Path
) -> None:
    with tries_worker(tmp_path, broker.url, "-P", "solo"):
        on = opened(jobs.GoesOnForEver, inputs={"phase": "run"})
        on.start(jobs.GoesOnForEver)
        on.come_to_wait()
        other = opened(jobs.Repairs, nobody_s=1.0)
        other.start(jobs.Repairs)
        assert not list(other.executor.wait(6.0))
        (tmp_path / "go").touch()
        assert other.ends(1)[0].outcome.ending is Ending.REPAIRED


@on_rabbitmq
def test_a_pool_that_cannot_wait_for_processes_is_refused(
    opened: Opened, broker: Broker, tmp_path: Path
) -> None:
    (tmp_path / "green.py").write_text(
        "import kombu.utils.compat\n"
        "import headway.toolbox.tries\n"
        "kombu.utils.compat._environment = 'gevent'\n"  # as if that were the pool
    )
    with tries_worker(tmp_path, broker.url, "-P", "solo", include="green"):
        outcome = opened(jobs.Repairs).carry_out(jobs.Repairs)
        assert outcome.final
        assert outcome.failure is not None
        assert "has the pool gevent" in outcome.failure.message
        assert "-P prefork, threads or solo" in outcome.failure.message


@on_rabbitmq
def test_what_nobody_took_is_taken_back_when_the_run_is_stopped(
    opened: Opened, broker: Broker, tmp_path: Path
) -> None:
    on = opened(jobs.Repairs)
    on.start(jobs.Repairs)
    assert opened.sent.wait(LONGEST_S)
    on.executor.stop()
    (ended,) = on.ends(1)
    assert ended.outcome.failure is not None
    assert ended.outcome.failure.message == "the run was stopped before a Celery worker took it"
    with tries_worker(tmp_path, broker.url, "-P", "solo") as worker:
        worker.wait_for(" succeeded in ")  # it found that nobody wants it
    assert on.notes == []


@on_rabbitmq
def test_what_a_run_that_is_over_left_in_a_queue_is_dropped_at_once(
    opened: Opened, broker: Broker, tmp_path: Path
) -> None:
    on = opened(jobs.Repairs)
    on.start(jobs.Repairs)
    assert opened.sent.wait(LONGEST_S)
    on.executor.close()
    with tries_worker(tmp_path, broker.url, "-c", "1") as worker:
        line = worker.wait_for(" succeeded in ")
    assert float(re.findall(r"succeeded in ([\d.]+)s", line)[0]) < CLAIM_S / 2
    assert on.notes == []


@on_rabbitmq
def test_jobs_made_on_the_fly_and_their_queues_travel(
    opened: Opened, broker: Broker, tmp_path: Path
) -> None:
    made = type("Made", (TellsWord,), {"WORD": "fly", "QUEUE": "elsewhere", "DEPS": ()})
    with tries_worker(tmp_path, broker.url, "-P", "solo", "-Q", "elsewhere"):
        assert opened(made).carry_out(made).result == "fly"


@on_rabbitmq
def test_no_input_of_a_job_is_in_the_task_message(
    opened: Opened, broker: Broker, tmp_path: Path
) -> None:
    on = opened(jobs.Repairs, inputs={"password": "hush-hush"})
    on.start(jobs.Repairs)
    assert opened.sent.wait(LONGEST_S)
    connection = opened.app.connection_for_read()
    with connection:
        queue = opened.app.amqp.queues["celery"](connection.default_channel)
        found = queue.get(no_ack=True)
    assert "headway.try" in str(found.headers)
    assert "Repairs" in str(found.headers) + str(found.body)
    assert "hush-hush" not in str(found.headers) + str(found.body)


def test_a_broker_that_is_away_is_an_error_at_once(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with ExitStack() as stack:
        opens = Opened(stack, tmp_path, f"amqp://guest:guest@127.0.0.1:{port}//")
        with pytest.raises(Unavailable, match="does not answer"):
            opens(jobs.Repairs)


@on_rabbitmq
def test_a_pool_of_threads_carries_tries_out(
    opened: Opened, broker: Broker, tmp_path: Path
) -> None:
    with tries_worker(tmp_path, broker.url, "-P", "threads", "-c", "2"):
        on = opened(DoesItAndWaits, jobs.Prints)
        on.start(DoesItAndWaits)
        on.come_to_wait()
        assert on.carry_out(jobs.Prints).ending is Ending.PASSED
        assert ("out", "printed") in on.lines
        (tmp_path / "go").touch()
        assert on.ends(1)[0].outcome.ending is Ending.REPAIRED


def test_the_rights_that_the_page_gives_are_enough(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    page = (REPOSITORY / "docs/how-to/celery-executor.md").read_text("utf-8")
    found = re.search(r"set_permissions -p shop worker '(.+)' '(.+)' '(.+)'", page)
    assert found is not None
    url = rabbitmq.make_user("worker", *found.groups())
    with ExitStack() as stack, tries_worker(tmp_path, url, "-c", "1", "-Q", "celery,builds"):
        made = type("Made", (TellsWord,), {"WORD": "built", "QUEUE": "builds"})
        on = Opened(stack, tmp_path, url)(made, jobs.Repairs)
        assert on.carry_out(made).result == "built"
        assert on.carry_out(jobs.Repairs).ending is Ending.REPAIRED


def test_what_nobody_has_fails_when_the_broker_stays_away(
    rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        opens = Opened(stack, tmp_path, rabbitmq.url)
        on = opens(jobs.Repairs, nobody_s=1.5)
        on.start(jobs.Repairs)
        assert opens.sent.wait(LONGEST_S)
        rabbitmq.kill()
        (ended,) = on.ends(1)
        assert ended.outcome.failure is not None
        assert ended.outcome.failure.type == "Unavailable"
        assert "the Celery app's broker was away for 1.5 s" in ended.outcome.failure.message
