"""Workers say on a real broker that they are there, and that never disturbs their steps."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from headway.adapters.bus_address import parse_bus_url
from headway.adapters.dispatching import Answered
from headway.ports.bus import Bus
from headway.runtime.buses import make_bus
from headway.runtime.sending import StepSender
from headway.runtime.worker import Worker
from headway.runtime.worker_trial import served
from headway.wire.messages import StepMessage
from tests.services.rabbitmq import RabbitMQ
from tests.services.watching import DEADLINE_S, often, watching_presence

pytestmark = pytest.mark.services


class FrobWorker(Worker):
    def process(
        self, channel: Any, basic_deliver: Any, properties: Any, body: Any, output: Any
    ) -> None:
        answer = {"status": "completed", "data": body["parameters"]["number"]}
        self.send(properties.reply_to, properties.correlation_id, answer, exchange="")


def done(bus: Bus, number: int) -> Any:
    own = {"command": "frob", "subcommand": "Frob", "hosts": [], "number": number}
    sender = StepSender(bus)
    sender.open()
    step = sender.send("frob", StepMessage(parameters=own))
    (final,) = [news.response for news in step.heard() if isinstance(news, Answered)]
    sender.close()
    return final.data


@contextmanager
def opened(url: str) -> Iterator[Bus]:
    bus = make_bus(parse_bus_url(url))
    bus.open(DEADLINE_S)
    with closing(bus):
        yield bus


def test_steps_go_on_where_nobody_listens(rabbitmq: RabbitMQ) -> None:
    with opened(rabbitmq.url) as theirs, opened(rabbitmq.url) as ours:
        with served(FrobWorker, theirs) as worker:
            presence = worker._service.connection.presence
            presence._interval_s = presence._changes_s = 0.001
            assert [done(ours, number) for number in range(20)] == list(range(20))
        assert presence._number > 20
        assert theirs.counts().connections == 1


def test_steps_go_on_where_the_user_may_not_say_that_it_is_there(
    rabbitmq: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    url = rabbitmq.make_user("silent", ".*", ".*", ".*")
    rabbitmq.node.tell(
        "rabbit_auth_backend_internal:set_topic_permissions("
        f'<<"{rabbitmq.vhost}.silent">>, <<"{rabbitmq.vhost}">>, <<"re">>, <<"^(output|notify)">>,'
        ' <<".*">>, <<"tests">>).'
    )
    caplog.set_level(logging.WARNING)
    with opened(url) as theirs, opened(rabbitmq.url) as ours:
        with served(FrobWorker, theirs) as worker:
            presence = worker._service.connection.presence
            presence._interval_s = presence._changes_s = 0.001
            assert [done(ours, number) for number in range(20)] == list(range(20))
        assert theirs.counts().connections == 1
    assert caplog.text.count("we cannot say that we are there") == 1


def test_a_worker_whose_connection_was_lost_says_again_that_it_is_there(
    rabbitmq: RabbitMQ,
) -> None:
    with watching_presence(rabbitmq.url) as presence, opened(rabbitmq.url) as theirs:
        with served(FrobWorker, theirs) as worker:
            often(worker)
            before = presence.next()
            rabbitmq.cut()
            while theirs.counts().connections < 2 or presence.bus.counts().connections < 2:
                presence.next()
            after = presence.next()
            assert (after.worker, after.since_us) == (before.worker, before.since_us)
            assert after.number > before.number
        while presence.next().state != "left":
            pass
