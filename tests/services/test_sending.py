"""Steps sent over RabbitMQ."""

import logging
from contextlib import closing

import pytest

from headway.adapters.bus_address import parse_bus_url
from headway.ports.bus import Binding, Exchange, Queue
from headway.runtime.buses import make_bus
from headway.runtime.sending import StepSender
from headway.wire import names
from headway.wire.messages import StepMessage
from tests.services.rabbitmq import RabbitMQ

pytestmark = pytest.mark.services


def test_a_closed_sender_leaves_no_queue_and_warns_of_nothing(
    rabbitmq: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    bus = make_bus(parse_bus_url(rabbitmq.url))
    bus.open()
    with closing(bus):
        key = names.worker_key("frob")
        bus.declare(Exchange(names.EXCHANGE), Queue(key, bindings=(Binding(names.EXCHANGE, key),)))
        sender = StepSender(bus)
        sender.open()
        message = StepMessage(parameters={"command": "frob", "subcommand": "it", "hosts": []})
        sender.send("frob", message).wait_until_taken()
        sender.close()
        bus.delete(key)
    vhost = f'<<"{rabbitmq.vhost}">>'
    listed = rabbitmq.node.tell(f"[amqqueue:get_name(Q) || Q <- rabbit_amqqueue:list({vhost})].")
    assert listed == "[]"
    assert not caplog.records
