"""Tells people of a run as a whole: that it has started, and how it ended.

Each notice is in the journal before it is told: with what it tells, in one commit. So nobody is
told twice, whoever takes the run up or tries it again; and what was written and not told when a
process died is not told any more.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from headway.errors import HeadwayError
from headway.jobs.events import Event, Listener, Live, PhaseNoticeIntended
from headway.jobs.states import RunState
from headway.releases.surroundings import PhaseNotice, notification_of
from headway.runtime import clocks
from headway.runtime.journal import Journal
from headway.wire.messages import Notification

if TYPE_CHECKING:
    from headway.ports.bus import Confirmation

# Publishes a notice, for a run, to a routing key.
Announce = Callable[[str, Notification, str], "Confirmation"]


class PhaseNotices:
    """Those of one run. ``announce``: None where there is no bus; they are shown all the same."""

    def __init__(
        self,
        notice: PhaseNotice | None,
        name: str,
        journal: Journal,
        before: Iterable[Event] = (),
        announce: Announce | None = None,
    ) -> None:
        """``name``: what the run is called. ``before``: its journal so far."""
        self._notice = notice
        self._name = name
        self._journal = journal
        self._told = {one.notice for one in before if isinstance(one, PhaseNoticeIntended)}
        self._announce = announce

    def due(self, state: RunState) -> Sequence[Event]:
        """What is to be told, and written with it, when the run stands so; each is asked once."""
        if self._notice is None:
            return ()
        found = self._notice.of(self._journal.run, self._name, state, clocks.now_us())
        if found is None or found.notice in self._told:
            return ()
        self._told.add(found.notice)
        return (found,)

    @property
    def listeners(self) -> Sequence[Listener]:
        """What publishes them, if anything does."""
        return [] if self._notice is None or self._announce is None else [self._heard]

    def _heard(self, event: Event | Live) -> None:
        if isinstance(event, PhaseNoticeIntended) and self._announce is not None:
            self._journal.after(partial(self._publish, self._announce, event))

    def _publish(self, announce: Announce, event: PhaseNoticeIntended) -> None:
        try:
            sent = announce(event.topic, notification_of(event), self._journal.run)
        except HeadwayError as error:
            warn_unheard(event.topic, error)
            return
        sent.then(lambda confirmation: warn_unheard(event.topic, confirmation.error))


def warn_unheard(topic: str, error: HeadwayError | None) -> None:
    """Say so where a notice came to nobody."""
    if error is not None:
        import logging  # costs a start more than all else here

        logging.getLogger("headway.notices").warning("nobody hears notices to %s: %s", topic, error)
