"""Sends the worker its steps, hears what comes back, and grants its claims."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headway.conformance.log import Answered, Asked, Granted, Log, Overheard
from headway.errors import HeadwayError, WireError
from headway.ports.bus import (
    Binding,
    Bus,
    Delivery,
    Exchange,
    Message,
    Queue,
    QueueKind,
    Settlement,
)
from headway.runtime import clocks
from headway.wire import names
from headway.wire.messages import FINAL, PHASES, Claim, Grant, Response

CONFIRM_S = 15.0
TRANSPORT = "conform"  # what the steps name for their notices
WATCHED = (names.OUTPUT, names.notify_key("#"), names.PRESENCE)


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was sent. Each has a reply queue of its own, so that no answer is mistaken."""

    what: str  # in words, for the report
    run: str
    attempt: str
    replies: str
    sent_at: float


@dataclass(frozen=True, slots=True)
class Asking:
    """What the worker is asked: whose steps, with what in them."""

    command: str
    subcommand: str
    host: str = "localhost"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    dynamic: Mapping[str, Any] = field(default_factory=dict)

    def body(self, subcommand: str | None = None, *, dynamic: bool = True) -> bytes:
        own = {
            "command": self.command,
            "subcommand": subcommand or self.subcommand,
            "hosts": [self.host],
        }
        plain = {
            "parameters": {**self.parameters, **own},
            "group": "",
            "dynamic": dict(self.dynamic) if dynamic else {},
            "notify": {phase: {TRANSPORT: ["headway conform"]} for phase in PHASES},
        }
        return json.dumps(plain).encode()


class Desk:
    """The bus is open; what is declared on it for the desk goes with it."""

    def __init__(self, bus: Bus, log: Log, command: str) -> None:
        self._bus = bus
        self._log = log
        self._command = command
        id = clocks.new_id()
        self.claims = f"re.conform.{id}.claims"
        self._watch = f"re.conform.{id}.watch"
        self._grants: dict[str, bool] = {}  # by attempt; others are not answered

    def open(self) -> bool:
        """Make what an administrator makes for a worker. Returns whether its queue was made.

        Raises: Refused with what an administrator types; Unavailable.
        """
        key = names.worker_key(self._command)
        own = Queue(key, bindings=(Binding(names.EXCHANGE, key),))
        _, declared = self._bus.declare(Exchange(names.EXCHANGE), own)
        bindings = tuple(Binding(names.EXCHANGE, key) for key in WATCHED)
        self._bus.declare(_mine(self.claims), _mine(self._watch, bindings))
        self._bus.consume(self.claims, self._on_claim, prefetch=100, inline=True)
        self._bus.consume(self._watch, self._on_watched, prefetch=100, inline=True)
        return declared.created

    def message(self, what: str, body: bytes, *, claims: bool = False) -> tuple[Step, Message]:
        """A step, and its message, whose reply queue is there. Raises: as a declaration."""
        run, attempt = clocks.new_id(), clocks.new_id()
        replies = f"re.conform.{attempt}"
        self._bus.declare(_mine(replies))
        self._bus.consume(replies, self._on_answer, prefetch=100, inline=True)
        headers = {names.CLAIMS: self.claims} if claims else {}
        message = Message(
            body,
            names.JSON,
            headers,
            correlation_id=run,
            reply_to=replies,
            message_id=attempt,
        )
        return Step(what, run, attempt, replies, self._log.now()), message

    def send(self, message: Message) -> None:
        """Raises: Rejected when nobody serves the command; Refused; Unavailable."""
        key = names.worker_key(self._command)
        self._bus.publish(message, key, names.EXCHANGE).wait(CONFIRM_S)

    def answer_claims(self, step: Step, granted: bool) -> None:
        """From now on, each claim for this step is answered so; also one that has come."""
        self._grants[step.attempt] = granted
        for asked in list(self._log.all(Asked)):
            self._answer_claim(asked.delivery.message, only=step.attempt)

    def answers(self, step: Step) -> list[Delivery]:
        return [
            one.delivery for one in self._log.all(Answered) if one.delivery.queue == step.replies
        ]

    def _on_answer(self, delivery: Delivery) -> None:
        self._bus.settle(delivery, Settlement.ACK)
        self._log.note(Answered(self._log.now(), delivery))

    def _on_watched(self, delivery: Delivery) -> None:
        self._bus.settle(delivery, Settlement.ACK)
        self._log.note(Overheard(self._log.now(), delivery))

    def _on_claim(self, delivery: Delivery) -> None:
        self._bus.settle(delivery, Settlement.ACK)
        self._log.note(Asked(self._log.now(), delivery))
        self._answer_claim(delivery.message)

    def _answer_claim(self, message: Message, only: str | None = None) -> None:
        try:
            claim = Claim.decode(message.body)
        except WireError:
            return  # the check of claims says so
        granted = self._grants.get(claim.attempt)
        if granted is None or claim.give_back or only not in (None, claim.attempt):
            return
        if message.reply_to is None:
            return
        reason = "" if granted else "another worker has it"
        grant = Grant(attempt=claim.attempt, worker=claim.worker, granted=granted, reason=reason)
        self._log.note(Granted(self._log.now(), claim.attempt, granted))
        self._bus.publish(Message(grant.encode(), names.JSON), message.reply_to)


def response_of(delivery: Delivery) -> Response | None:
    """The answer that it is, if it is one."""
    try:
        return Response.decode(delivery.message.body)
    except HeadwayError:
        return None


def final_of(answers: list[Delivery]) -> str | None:
    """The first final status among some answers."""
    for answer in answers:
        response = response_of(answer)
        if response is not None and response.status in FINAL:
            return response.status
    return None


def _mine(name: str, bindings: tuple[Binding, ...] = ()) -> Queue:
    return Queue(name, QueueKind.CLASSIC, bindings, durable=False, exclusive=True)
