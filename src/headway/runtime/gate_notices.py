"""Tells people that a run waits for them at a gate, and what was answered there.

Which notices are due, the runner says and writes (``NoticeIntended``); here each is published
once that is committed. What was written and not told when a process died is not told any more.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from headway.errors import HeadwayError
from headway.jobs.events import Event, Listener, Live, NoticeIntended
from headway.jobs.gates import DONE, Gates, outcome_of
from headway.ports.store import short_id
from headway.releases.steps import StepNode
from headway.runtime.journal import Journal
from headway.runtime.phase_notices import Announce, warn_unheard
from headway.wire import names
from headway.wire.messages import SLUG_LONGEST, Notification


class GateNotices:
    """Those of one run. ``announce``: None where there is no bus."""

    def __init__(
        self,
        definitions: Sequence[Any],
        journal: Journal,
        before: Iterable[Event] = (),
        announce: Announce | None = None,
    ) -> None:
        """``before``: the run's journal so far."""
        self._nodes = {
            key: one
            for key, one in enumerate(definitions)
            if isinstance(one, StepNode) and one.is_gate and one.run.notify
        }
        self._journal = journal
        self._announce = announce
        self._gates = Gates(before)

    @property
    def listeners(self) -> Sequence[Listener]:
        """What publishes them, if anything does."""
        return [] if self._announce is None or not self._nodes else [self._heard]

    def _heard(self, event: Event | Live) -> None:
        self._gates.apply(event)
        if not isinstance(event, NoticeIntended) or self._announce is None:
            return
        node = self._nodes.get(event.key)
        if node is not None:
            words = f"{node.name} {self._said(event)}"
            self._journal.after(partial(self._publish, self._announce, node, event, words))

    def _said(self, event: NoticeIntended) -> str:
        short = short_id(self._journal.run)
        if event.notice == "started":
            reached = self._gates.waiting.get(event.key)
            asks = f": {reached.message}" if reached is not None and reached.message else ""
            return f"waits for an answer (headway approve {short}){asks}"
        answer = self._gates.answer_to(event.key, event.number)
        if answer is None:
            return f"{event.notice}: nobody answered in time"
        failure = outcome_of(answer).failure
        if failure is not None:
            return f"{event.notice}: {failure.message}"
        why = f": {answer.why}" if answer.why else ""
        return f"{event.notice}: {DONE[answer.decision]} by {answer.who}{why}"

    def _publish(
        self, announce: Announce, node: StepNode, event: NoticeIntended, words: str
    ) -> None:
        topic = names.notify_key(event.transport)
        notification = Notification(
            slug=f"{node.name} {event.notice}"[:SLUG_LONGEST],
            message=words,
            phase=event.notice,
            target=list(node.run.notify[event.notice][event.transport]),
        )
        try:
            sent = announce(topic, notification, self._journal.run)
        except HeadwayError as error:
            warn_unheard(topic, error)
            return
        sent.then(lambda confirmation: warn_unheard(topic, confirmation.error))
