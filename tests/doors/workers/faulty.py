"""Workers with one fault each: ``python faulty.py CLASS MQ_CONFIG``."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pika

sys.path.insert(0, str(Path(__file__).parents[3]))

from pika.exceptions import AMQPError

from tests.doors.workers.plain import Plain, main


class NeverSettles(Plain):
    def settle(self, tag: int) -> None:
        pass


class SettlesTwice(Plain):
    def settle(self, tag: int) -> None:
        super().settle(tag)
        super().settle(tag)


class NeedsNoAcknowledging(Plain):
    no_ack = True

    def settle(self, tag: int) -> None:
        pass


class ForgetsCorrelation(Plain):
    def send(self, properties: Any, content: Any) -> None:
        self.publish("", properties.reply_to, content, None)


class AnswersToTheExchange(Plain):
    def send(self, properties: Any, content: Any) -> None:
        self.publish("re", properties.reply_to, content, properties.correlation_id)


class EndsTwice(Plain):
    def do(self, deliver: Any, properties: Any, parameters: Any) -> None:
        super().do(deliver, properties, parameters)
        self.say(properties, "completed", "and again")


class NeverEnds(Plain):
    def do(self, deliver: Any, properties: Any, parameters: Any) -> None:
        self.say(properties, "started")


class DiesOfABadBody(Plain):
    def understood(self, body: bytes) -> Any:
        try:
            return super().understood(body)
        except UnicodeDecodeError as error:
            os.write(2, f"no way to read that: {error}\n".encode())
            os._exit(7)


class TakesAnySubcommand(Plain):
    def understood(self, body: bytes) -> Any:
        try:
            return super().understood(body)
        except ValueError as error:
            if "no subcommand" in str(error):
                return {"subcommand": "Ok"}
            raise


class AnswersNothingBad(Plain):
    def say(self, properties: Any, status: str, data: str | None = None) -> None:
        if status != "failed":
            super().say(properties, status, data)


class BlocksItsConnection(Plain):
    def work(self, seconds: float) -> None:
        time.sleep(seconds)


class IgnoresSigterm(Plain):
    def handle_stop(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


class LeavesItsStep(Plain):
    def handle_stop(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class SaysBareWords(Plain):
    def send(self, properties: Any, content: Any) -> None:
        super().send(properties, content["status"])


class SaysDone(Plain):
    def send(self, properties: Any, content: Any) -> None:
        status = content["status"].replace("completed", "done")
        super().send(properties, {**content, "status": status})


class TakesAll(Plain):
    prefetch = 0


class GoesDeaf(Plain):
    """When its connection is lost, it stays and does nothing."""

    def serve(self) -> None:
        try:
            super().serve()
        except AMQPError:
            while not self.stopping:
                time.sleep(0.05)


class Claiming(Plain):
    """Claims as it should; what derives from it does not."""

    name = "claiming.1"

    def __init__(self, mq: dict[str, Any]) -> None:
        super().__init__(mq)
        self.granted: dict[str, bool] = {}
        self.channel.basic_consume("amq.rabbitmq.reply-to", self.on_grant, auto_ack=True)

    def on_grant(self, channel: Any, deliver: Any, properties: Any, body: bytes) -> None:
        grant = json.loads(body)
        self.granted[grant["attempt"]] = grant["granted"]

    def do(self, deliver: Any, properties: Any, parameters: Any) -> None:
        place = (properties.headers or {}).get("headway-claims")
        if place is None or self.may_run(place, properties.message_id):
            super().do(deliver, properties, parameters)

    def may_run(self, place: str, attempt: str) -> bool:
        self.claim(place, attempt)
        while attempt not in self.granted and not self.stopping:
            self.connection.process_data_events(time_limit=0.1)
        return self.granted.get(attempt, False)

    def claim(self, place: str, attempt: str) -> None:
        body = json.dumps({"attempt": attempt, "worker": self.name}).encode()
        asking = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to")
        self.channel.basic_publish("", place, body, asking)

    def publish(self, exchange: str, key: str, content: Any, run: str | None) -> None:
        answer = pika.BasicProperties(
            correlation_id=run, reply_to="log", headers={"headway-worker": self.name}
        )
        self.channel.basic_publish(exchange, key, json.dumps(content).encode(), answer)


class RunsUngranted(Claiming):
    def may_run(self, place: str, attempt: str) -> bool:
        self.claim(place, attempt)
        return True


class RunsRefused(Claiming):
    def may_run(self, place: str, attempt: str) -> bool:
        super().may_run(place, attempt)
        return True


class AnswersUnnamed(Claiming):
    def publish(self, exchange: str, key: str, content: Any, run: str | None) -> None:
        Plain.publish(self, exchange, key, content, run)


class MisspellsItsOutput(Plain):
    def do(self, deliver: Any, properties: Any, parameters: Any) -> None:
        self.publish("re", "output", {"text": "hello"}, properties.correlation_id)
        super().do(deliver, properties, parameters)


if __name__ == "__main__":
    main(globals()[sys.argv.pop(1)])
