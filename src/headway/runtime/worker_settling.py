"""What becomes of a worker's deliveries: each is settled once, by its author or after it."""

import logging
import threading
from collections.abc import Callable

from headway.errors import HeadwayError, Unavailable
from headway.ports.bus import Settlement
from headway.runtime.worker_connection import WorkerConnection
from headway.runtime.worker_step import StepInHand, Steps

REQUEUE_S = 1.0  # before a message that could not be kept is delivered again


class Settler:
    """Settles for one worker. Thread-safe.

    A step whose attempt was granted has been acknowledged at the broker: from then on a decision
    is only noted, and asking for the step to be delivered again gives the grant back.
    """

    def __init__(
        self,
        connection: WorkerConnection,
        steps: Steps,
        log: Callable[[], logging.Logger],
        pause: Callable[[float], object],
    ) -> None:
        """``pause``: waits for so many seconds, unless the worker is told to stop."""
        self._connection = connection
        self._steps = steps
        self._log = log
        self._pause = pause
        self._lock = threading.Lock()

    def settle_tag(self, delivery_tag: int, settlement: Settlement) -> None:
        """The author's decision. A second one, or one that comes too late, changes nothing."""
        step = self._steps.in_hand
        if step is None or delivery_tag not in (0, step.tag):
            self._log().warning("delivery %s cannot be settled any more", delivery_tag)
            return
        reason = "rejected by process" if settlement is Settlement.REJECT else ""
        self.settle(step, settlement, reason)

    def settle(self, step: StepInHand, settlement: Settlement, reason: str = "") -> None:
        with self._lock:
            if step.decision is not None:
                self._log().debug("%s - it was settled before: %s", step.run, step.decision.value)
                return
            step.decision = settlement
        at_broker = settlement
        if settlement is Settlement.REJECT:
            error = self._connection.bury(step.delivery, reason)
            if isinstance(error, Unavailable):
                at_broker = Settlement.REQUEUE  # rejected it would be lost; later it may be kept
                if not step.granted:
                    self._pause(REQUEUE_S)
        if not step.granted:
            self._at_broker(step, at_broker)
        elif settlement is Settlement.REQUEUE:
            self._give_back(step)

    def granted(self, step: StepInHand) -> None:
        """The attempt is ours: the broker may forget it."""
        step.granted = True
        self._at_broker(step, Settlement.ACK)

    def settle_rest(self, step: StepInHand) -> None:
        """Whatever was not decided is done with."""
        if step.decision is None:
            self.settle(step, Settlement.ACK)

    def _at_broker(self, step: StepInHand, settlement: Settlement) -> None:
        step.wait_until_confirmed()
        ignored = self._connection.bus.settle(step.delivery, settlement)
        if ignored is not None:
            self._log().info("%s - %s", step.run, ignored.reason)

    def _give_back(self, step: StepInHand) -> None:
        if step.claims is None or step.attempt is None:
            return
        try:
            self._connection.claims.give_back(step.claims, step.attempt)
        except HeadwayError as error:
            self._log().error("%s - the attempt could not be given back: %s", step.run, error)
