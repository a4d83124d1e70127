"""What a worker sends: answers, notices, output, and whatever else its author wants sent."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

from headway.adapters.message_rules import refusal
from headway.errors import HeadwayError, WireError
from headway.ports.bus import Limits, Message
from headway.runtime.worker_connection import CONFIRM_S, WorkerConnection
from headway.runtime.worker_step import PATIENCE_S, StepInHand, Steps
from headway.wire import messages, names, strict_json

_LIMITS = Limits()
_OUTPUT_CHARACTERS = 100_000  # in one message


class Sender:
    """Sends for one worker, and notes with each step what was sent for it. Thread-safe."""

    def __init__(
        self,
        connection: WorkerConnection,
        steps: Steps,
        name: str,
        log: Callable[[], logging.Logger],
    ) -> None:
        """``name``: of the worker's class. ``log``: its application log, which may change."""
        self._connection = connection
        self._steps = steps
        self._app_id = name.lower()
        self._log = log

    def send(
        self, topic: str | None, corr_id: Any, struct: Any, exchange: str | None, reply_to: str
    ) -> None:
        """Raises: WireError for what JSON cannot hold; Rejected; Refused and Unavailable where
        the message has to be served by somebody."""
        body = strict_json.encode(struct, "what was to be sent")
        message = self._message(body, corr_id, reply_to)
        self._publish(message, topic, exchange or "", struct)

    def fail(self, step: StepInHand, why: str) -> None:
        """Answer that the step failed, if anybody wants to know."""
        if step.reply_to is None:
            return
        try:
            self.send(step.reply_to, step.run, {"status": "failed", "data": why}, "", names.LOG)
        except HeadwayError as error:
            self._log().error("%s - the failure cannot be reported: %s", step.run, error)

    def publish_raw(self, message: Message, routing_key: str, exchange: str) -> None:
        """What is published through the channel, which has its properties already."""
        struct = None
        if not exchange:
            try:
                struct = strict_json.parse(message.body)
            except WireError:
                pass
        self._publish(message, routing_key, exchange, struct)

    def notify(self, slug: Any, message: Any, phase: str, corr_id: Any, exchange: str) -> None:
        """Tell whom the step names for this phase, on each transport that it names."""
        step = self._steps.of(_text(corr_id), None)
        if step is None or (phase == "started" and step.is_told_to_have_started):
            return
        for transport, targets in step.noticed(phase).items():
            try:
                body = messages.Notification(
                    slug=_sendable(slug)[: messages.SLUG_LONGEST],
                    message=_sendable(message),
                    phase=phase,
                    target=targets,
                ).encode()
                what = self._message(body, corr_id, names.LOG, step.attempt)
                key = names.notify_key(transport)
                if exchange == names.EXCHANGE:
                    step.told = self._connection.tell(what, key)
                    step.sent(step.told)
                else:
                    self._connection.bus.publish(what, key, exchange)
            except HeadwayError as error:
                self._log().warning("%s - a notification cannot be sent: %s", step.run, error)
                continue
            step.notices.append(f"{phase}.{transport}")

    def say(self, level: str, text: str, *, closes: bool = False) -> None:
        """A line of output, of the step in hand; ``closes``: its last."""
        step = self._steps.in_hand
        run, attempt = (None, None) if step is None else (step.run, step.attempt)
        for part in _parts(_sendable(text)):
            body = messages.Output(message=part, level=level).encode()
            message = self._message(body, run, names.LOG, attempt)
            if closes:
                message = message._replace(headers={names.CLOSING: True})
            sent = self._connection.tell(message, names.OUTPUT)
            if step is not None:
                step.told = sent
                step.sent(sent)

    def _publish(self, message: Message, topic: str | None, exchange: str, struct: Any) -> None:
        step = self._steps.of(message.correlation_id, topic)
        if topic is None:
            if step is not None:
                step.note_answer(None, struct)
            self._log().debug("%s - nobody asked for an answer", message.correlation_id)
            return
        if step is not None and not exchange and step.note_answer(topic, struct):
            message = self._as_answer(message, step)
        problem = refusal(message, topic, exchange, _LIMITS)
        if problem is not None:
            raise problem
        sent = None
        if not exchange and topic != names.LOG:
            patience_s = PATIENCE_S if step is None else step.patience_s
            sent = self._connection.answers.send(topic, message, patience_s)
        elif exchange == names.EXCHANGE and _is_for_whoever_listens(topic):
            sent = self._connection.tell(message, topic)
        elif exchange:
            self._connection.bus.publish(message, topic, exchange).wait(CONFIRM_S)
        if step is not None:
            step.sent(sent)

    def _as_answer(self, message: Message, step: StepInHand) -> Message:
        if step.is_answered:
            # Output and notices go another way to the broker, where the answer could overtake
            # them: whoever hears the end of a step is to find what it said before.
            step.wait_until_told()
        headers = {
            **message.headers,
            names.WORKER: self._connection.worker,
            names.NOTICES: list(step.notices),
        }
        if step.is_answered and step.is_closing:
            headers[names.CLOSING] = True
        if step.is_answered and self._steps.answered(step) and step.attempt is not None:
            self._connection.claims.let_go(step.attempt)
        return message._replace(headers=headers, message_id=step.attempt or message.message_id)

    def _message(
        self, body: bytes, corr_id: Any, reply_to: str, attempt: str | None = None
    ) -> Message:
        return Message(
            body,
            names.JSON,
            correlation_id=_text(corr_id),
            reply_to=reply_to,
            message_id=attempt,
            app_id=self._app_id,
        )


def _parts(text: str) -> Iterator[str]:
    """A text in as many messages as it needs, cut at the ends of lines where it has some."""
    start = 0
    while start < len(text) or start == 0:
        end = start + _OUTPUT_CHARACTERS
        if end < len(text):
            end = text.rfind("\n", start, end) + 1 or end
        yield text[start:end]
        start = end


def _is_for_whoever_listens(topic: str) -> bool:
    return topic in (names.OUTPUT, names.PRESENCE) or topic.startswith(names.notify_key(""))


def _text(corr_id: Any) -> str | None:
    return None if corr_id is None else str(corr_id)


def _sendable(value: Any) -> str:
    """Its text, with a question mark for what UTF-8 cannot hold."""
    return str(value).encode("utf-8", "replace").decode()
