"""One worker being looked at: what the trials ask of it, and what they find out about it."""

import time
from dataclasses import dataclass, field

from headway.adapters.rabbitmq.tap import Tap
from headway.adapters.rabbitmq.upkeep import Upkeep
from headway.adapters.traffic import (
    ChannelRefused,
    Closed,
    Connected,
    Consuming,
    Delivered,
)
from headway.conformance import rules, settling
from headway.conformance.desk import Asking, Desk, Step, final_of, response_of
from headway.conformance.findings import Finding, fault, not_tried
from headway.conformance.log import Ended, Log
from headway.conformance.program import Program
from headway.errors import Unavailable
from headway.ports.bus import DIRECT_REPLY_TO, Delivery
from headway.wire import names
from headway.wire.messages import ABSENT

HEARTBEAT_S = 2  # proposed to a worker that we start
NO_SUCH = "NoSuchSubcommand"
PATIENCE_S = 10.0  # for an answer, unless told otherwise
START_S = 30.0  # to start, connect and consume
LONG_S = 300.0  # the longest that a step which is called long may take
_LOOK_S = 0.05


@dataclass(slots=True)
class Visit:
    """Without a program the worker runs already: of it only its messages can be seen."""

    asking: Asking
    desk: Desk
    log: Log
    upkeep: Upkeep
    program: Program | None = None
    tap: Tap | None = None
    long: str | None = None  # the subcommand that takes long
    bad: str = NO_SUCH  # the subcommand that it refuses
    patience_s: float = PATIENCE_S
    steps: list[Step] = field(default_factory=list)
    fresh: list[Step] = field(default_factory=list)  # those of this trial
    silent: set[str] = field(default_factory=set)  # attempts that nothing is expected of
    unsettled: list[Delivered] = field(default_factory=list)  # although the step was over
    long_took_s: float | None = None
    cannot: set[str] = field(default_factory=set)  # the checks that it did not pass

    @property
    def queue(self) -> str:
        return names.worker_key(self.asking.command)

    # Steps

    def send(self, what: str, body: bytes | None = None, *, claims: bool = False) -> Step:
        """Raises: Rejected, Refused, Unavailable."""
        content = self.asking.body() if body is None else body
        step, message = self.desk.message(what, content, claims=claims)
        self.steps.append(step)
        self.fresh.append(step)
        self.desk.send(message)
        return step

    def done(self, step: Step, timeout_s: float | None = None) -> str | None:
        """Wait for the step's end; its final status."""
        self.log.until(lambda: self.is_over(step), timeout_s or self.patience_s)
        return final_of(self.answers(step))

    def is_over(self, step: Step) -> bool:
        """Whether waiting longer is of no use."""
        return (
            final_of(self.answers(step)) is not None or self._is_misanswered(step) or self.has_ended
        )

    def answers(self, step: Step) -> list[Delivery]:
        return self.desk.answers(step)

    def said(self, step: Step) -> list[str]:
        """The known statuses it was answered with."""
        return [one.status for answer in self.answers(step) if (one := response_of(answer))]

    def explained(self, check: str, step: Step) -> Finding:
        """Why a step has no final answer that counts."""
        limit = f"within {self.patience_s:g} s"
        if any(response_of(answer) is None for answer in self.answers(step)):
            return not_tried(check, "its answers cannot be read: see `bodies`")
        if rules.strays(self.log, step.sent_at):
            return not_tried(check, "its answers go elsewhere: see `reply-address`")
        if self._is_shut_out():
            return not_tried(check, "the broker closed its channel: see `settlement`")
        if self.has_ended and self.program is not None:
            return fault(
                check,
                f"given {step.what}, {self.program.ending()}",
                "whatever a step is, answer it `failed` and go on serving",
            )
        if lost := self._lost_since(step.sent_at):
            return fault(check, f"given {step.what}, {lost}", "see to what the broker says there")
        if self.said(step):
            return fault(
                check,
                f"it answered {step.what} `started`, and then nothing {limit}",
                "when a step has ended, send `completed` or `failed`",
            )
        if held := [one for one in settling.unsettled(self.log) if one.at < step.sent_at]:
            self.unsettled += held
            return not_tried(check, "it still holds an earlier step: see `settlement`")
        if self.tap is not None and not self.deliveries(step):
            return fault(
                check,
                f"it did not take {step.what} {limit}",
                "settle each delivery, and consume for as long as the process lives",
            )
        return fault(
            check,
            f"it gave no answer to {step.what} {limit}",
            'send {"status": "started"}, then "completed" or "failed", to `reply_to`',
        )

    def deliveries(self, step: Step) -> list[Delivered]:
        return [one for one in self.log.all(Delivered) if one.message.message_id == step.attempt]

    def _is_shut_out(self) -> bool:
        """Whether it serves no more because the broker took offence at a settlement."""
        refused = self.log.last(ChannelRefused)
        return self.serving is None and refused is not None and "delivery tag" in refused.text

    def _is_misanswered(self, step: Step) -> bool:
        return any(response_of(answer) is None for answer in self.answers(step)) or bool(
            rules.strays(self.log, step.sent_at)
        )

    def _lost_since(self, at: float) -> str:
        refused = self.log.last(ChannelRefused, at)
        if refused is not None:
            what = "channel" if refused.channel else "connection"
            return f"the broker closed its {what}: {refused.code} {refused.text}"
        if self.log.last(Closed, at) is not None:
            return "its connection was lost"
        return ""

    # Its process and its connection

    @property
    def has_ended(self) -> bool:
        """Whether the process that we started is over."""
        ended = self.log.last(Ended)
        return self.program is not None and (ended is not None and ended.life == self.program.life)

    @property
    def serving(self) -> Consuming | None:
        """Its latest consumer, if its connection is there."""
        found = [one for one in self.log.all(Consuming) if not is_direct(one.queue)]
        if not found:
            return None
        last = found[-1]
        over = {one.connection for one in self.log.all(Closed)}
        refused = {one.channel for one in self.log.all(ChannelRefused)}
        return None if last.connection in over or last.channel in refused else last

    @property
    def heartbeat_s(self) -> int | None:
        connected = self.log.last(Connected)
        return connected.heartbeat_s if connected is not None else None

    def start(self) -> bool:
        """Start the process; whether it consumes in time."""
        assert self.program is not None
        self.program.start()
        return self.wait_until_served()

    def wait_until_served(self) -> bool:
        self.log.until(lambda: self.serving is not None or self.has_ended, START_S)
        return self.serving is not None

    def make_ready(self) -> bool:
        """Before a trial: whether the worker runs, started anew if need be."""
        return self.program is None or self.program.lives or self.start()

    def clean(self) -> None:
        """After a trial: what is not well is ended, so that the next one is not its heir."""
        if self.program is None:
            return
        if not (self.program.lives and self.serving and self._all_over() and self._all_settled()):
            self.end()
            self.upkeep.empty(self.queue)
        self.fresh.clear()

    def end(self) -> None:
        """End the process, and see that the broker has noticed. Raises: Unavailable."""
        assert self.program is not None
        self.program.kill()
        give_up_at = self.log.now() + START_S
        while self.upkeep.standing(self.queue).consumers:
            if self.log.now() > give_up_at:
                raise Unavailable(f"{self.queue} is still consumed, although its worker has ended")
            time.sleep(_LOOK_S)

    def _all_over(self) -> bool:
        return all(self.is_over(step) or step.attempt in self.silent for step in self.fresh)

    def _all_settled(self) -> bool:
        """Wait for it; what stays unsettled is noted. Once that was so, it is not waited for."""
        attempts = {step.attempt for step in self.fresh}

        def open_ones() -> list[Delivered]:
            return [
                one for one in settling.unsettled(self.log) if one.message.message_id in attempts
            ]

        patience_s = 0.0 if self.unsettled else self.patience_s
        if self.log.until(lambda: not open_ones(), patience_s):
            return True
        self.unsettled += open_ones()
        return False


def is_direct(queue: str) -> bool:
    return queue == DIRECT_REPLY_TO


def why(visit: Visit, step: Step) -> str:
    """What its final answer says besides the status."""
    for answer in visit.answers(step):
        response = response_of(answer)
        if response is not None and response.is_final:
            for value in (response.data, response.message):
                if value is not ABSENT and value is not None:
                    return f": {str(value)[:120]}"
    return ""
