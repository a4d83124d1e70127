"""Sends steps by hand, grants their claims, and tells what is heard of each."""

import queue
from collections.abc import Iterator

from headway.adapters.dispatching import (
    CLOSING_S,
    Answered,
    Claimed,
    Dispatch,
    Dispatcher,
    GivenBack,
    Heard,
    Line,
    Overheard,
    Undelivered,
)
from headway.ports.bus import Bus, Confirmation
from headway.releases.holders import LOST_AFTER_S
from headway.runtime import clocks
from headway.wire.messages import StepMessage

CONFIRM_S = 15.0


class StepSender:
    """Where steps are sent from. Thread-safe. The bus is open.

    Claims are granted where they arrive: what is sent by hand is in no store.
    """

    def __init__(self, bus: Bus, *, lost_after_s: float = LOST_AFTER_S) -> None:
        """``lost_after_s``: how long a worker that cannot be found is waited for."""
        name = f"re.step.{clocks.new_id()}"
        self._dispatcher = Dispatcher(bus, name, lost_after_s=lost_after_s)

    def open(self) -> None:
        """Raises: Refused, Unavailable."""
        self._dispatcher.open()

    def send(self, command: str, message: StepMessage) -> "SentStep":
        """Hand a step over: one attempt, of a run of its own. Does not wait for the broker."""
        step = SentStep()
        dispatch = Dispatch(step.attempt, step.run, command, message, step.told)
        step.confirmation = self._dispatcher.offer(dispatch)
        return step

    def forget(self, step: "SentStep") -> None:
        """What still comes of it is not heard."""
        self._dispatcher.leave(step.run)

    def close(self) -> None:
        """Nothing more is wanted. The bus stays open."""
        self._dispatcher.close()


class SentStep:
    """One attempt, and what is heard of it. Threads: one that iterates."""

    confirmation: Confirmation

    def __init__(self) -> None:
        self.run = clocks.new_id()
        self.attempt = clocks.new_id()
        self._heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self._is_closing = False  # whether a last line follows the answer
        self._is_closed = False  # and has come

    def told(self, attempt: str, heard: Heard) -> None:
        self._heard.put(heard)  # first, as more may be heard because of what follows
        if isinstance(heard, Claimed):
            heard.grant()
        elif isinstance(heard, (Answered, GivenBack, Overheard)):
            heard.settle()

    def wait_until_taken(self) -> None:
        """Raises: Rejected, at once, when nobody serves the command; Refused; Unavailable."""
        self.confirmation.wait(CONFIRM_S)

    def heard(self) -> Iterator[Heard]:
        """What comes, as it comes, up to the final answer or the return of the attempt.

        Raises: as ``wait_until_taken``, when the step was not.
        """
        while True:
            news = self._heard.get()
            if isinstance(news, Undelivered):
                raise news.error
            self._note(news)
            yield news
            match news:
                case GivenBack():
                    return
                case Answered(response) if response.is_final:
                    return

    def rest(self, closing_s: float = CLOSING_S) -> Iterator[Heard]:
        """What has come since. A last line that the worker has promised is waited for so long."""
        until = clocks.monotonic() + closing_s
        while True:
            waits = self._is_closing and not self._is_closed
            try:
                news = self._heard.get(timeout=max(0.0, until - clocks.monotonic()) * waits)
            except queue.Empty:
                return
            self._note(news)
            yield news

    def _note(self, news: Heard) -> None:
        match news:
            case Answered(response, closing=closing) if response.is_final:
                self._is_closing = closing
            case Line(closes=True):
                self._is_closed = True
            case _:
                pass
