"""A worker in pika alone, as somebody writes it who has only read the contract.

    python plain.py MQ_CONFIG

It serves ``plain``: Ok completes at once, Wait after ``seconds``. The faulty ones derive from it.
"""

import json
import signal
import sys
from typing import Any

import pika
from pika.exceptions import AMQPError


class Plain:
    heartbeat: int | None = None
    no_ack = False
    prefetch = 1

    def __init__(self, mq: dict[str, Any]) -> None:
        self.stopping = False
        self.handle_stop()
        self.taken: list[Any] = []
        credentials = pika.PlainCredentials(mq["user"], mq["password"])
        self.connection = pika.BlockingConnection(
            pika.ConnectionParameters(
                mq["server"], mq["port"], mq["vhost"], credentials, heartbeat=self.heartbeat
            )
        )
        self.channel: Any = self.connection.channel()
        if self.prefetch:
            self.channel.basic_qos(prefetch_count=self.prefetch)
        self.channel.basic_consume("worker.plain", self.take, auto_ack=self.no_ack)

    def serve(self) -> None:
        while not self.stopping:
            self.connection.process_data_events(time_limit=0.1)
            while self.taken and not self.stopping:
                self.on_step(*self.taken.pop(0))
        self.connection.close()  # what is still there goes to somebody else

    def handle_stop(self) -> None:
        signal.signal(signal.SIGTERM, self.stop)

    def stop(self, *_: object) -> None:
        self.stopping = True

    def take(self, channel: Any, *step: Any) -> None:
        self.taken.append(step)  # not here: within a callback pika calls no other

    def on_step(self, deliver: Any, properties: Any, body: bytes) -> None:
        try:
            parameters = self.understood(body)
        except (ValueError, KeyError, TypeError) as error:
            self.say(properties, "failed", repr(error))
        else:
            self.do(deliver, properties, parameters)
        self.settle(deliver.delivery_tag)

    def understood(self, body: bytes) -> Any:
        """Raises: ValueError, KeyError, TypeError."""
        parameters = json.loads(body.decode())["parameters"]
        if parameters["subcommand"] not in ("Ok", "Wait"):
            raise ValueError(f"no subcommand {parameters['subcommand']}")
        return parameters

    def do(self, deliver: Any, properties: Any, parameters: Any) -> None:
        self.say(properties, "started")
        if parameters["subcommand"] == "Wait":
            self.work(float(parameters["seconds"]))
        self.say(properties, "completed")

    def work(self, seconds: float) -> None:
        self.connection.sleep(seconds)  # heartbeats go on meanwhile

    def settle(self, tag: int) -> None:
        self.channel.basic_ack(tag)

    def say(self, properties: Any, status: str, data: str | None = None) -> None:
        self.send(properties, {"status": status, "data": data})

    def send(self, properties: Any, content: Any) -> None:
        self.publish("", properties.reply_to, content, properties.correlation_id)

    def publish(self, exchange: str, key: str, content: Any, run: str | None) -> None:
        answer = pika.BasicProperties(correlation_id=run, reply_to="log")
        self.channel.basic_publish(exchange, key, json.dumps(content).encode(), answer)


def main(worker_class: type[Plain] = Plain) -> None:
    with open(sys.argv[1]) as file:
        mq = json.load(file)
    try:
        worker_class(mq).serve()
    except AMQPError as error:
        raise SystemExit(f"lost: {error!r}") from None


if __name__ == "__main__":
    main()
