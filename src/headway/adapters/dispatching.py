"""Dispatches attempts at steps over a bus, and says what is heard of each.

One dispatcher serves any number of runs. An attempt is offered, claimed by a worker, granted once
whoever offered it says so, and answered; what comes late, twice or from elsewhere is counted. Two
unanswered attempts of one run never share a reply queue, so that an answer that names no attempt
is still known by its run and queue. A queue rests before the run has it again, and one on which an
answer is still owed is not used again: a worker may answer twice, or late.

A durable dispatcher's attempts may be adopted by the next one of its name. Each has reply queues
of its own, so that what is still owed to the one before is not taken for something else.

Threads: messages are taken in the bus's own thread, which calls ``told``; it must not block. A
thread of its own looks whether the workers that hold attempts are still there.
"""

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from headway.errors import HeadwayError, Unavailable, WireError
from headway.jobs.schedule import Ignored
from headway.ports.bus import (
    Binding,
    Bus,
    Confirmation,
    Consumer,
    Delivery,
    Exchange,
    Message,
    News,
    Opened,
    Queue,
    QueueKind,
    Settlement,
)
from headway.releases.claims import Attempt, Claims, Standing
from headway.releases.holders import LOST_AFTER_S, Holders
from headway.wire import names
from headway.wire.messages import Claim, Grant, Notification, Output, Response, StepMessage

_LOG = logging.getLogger("headway.dispatching")
LOOK_S = 0.5  # how often it is looked whether the workers that hold attempts are still there
PREFETCH = 500  # messages of a queue that may be unsettled at once
PAST = 1000  # attempts that are over, and may still be heard of
RESTING = 3  # reply queues that a run used last, and does not use again yet
KEPT_S = 3600  # how long the broker keeps the reply queues of a dispatcher that has gone
DURABLE_KEPT_S = 24 * 3600  # and those that the next one of its name is to find
CLOSING_S = 2.0  # for the last line of output, which follows the answer when its worker says so
CLAIMS_KEPT_S = 60  # and its queue for claims: a worker waits for an answer as long as it is there
WATCH_BYTES = 64 << 20  # of output that nobody has taken yet; beyond, the oldest is dropped


class Claimed(NamedTuple):
    """A worker wants the attempt, and waits for ``grant``."""

    worker: str
    grant: Callable[[], bool]  # whether it still can be
    again: bool  # whether it was granted before
    address: str = ""  # exists for as long as the worker's connection


class Lost(NamedTuple):
    """The worker has gone: whether the step was carried out is unknown. It may be heard of yet."""

    worker: str


class GivenBack(NamedTuple):
    """The worker that had it has not begun, and does not want it."""

    worker: str
    settle: Callable[[], object]  # once that is stored


class Answered(NamedTuple):
    """A response that counts."""

    response: Response
    worker: str  # who sent it, as far as it says
    notices: tuple[str, ...]  # the notices that the worker sent, each "phase.transport"
    settle: Callable[[], object]  # once what follows from it is stored
    closing: bool = False  # whether a last line of output follows it; the two ways may differ


class Line(NamedTuple):
    """Of the step's output."""

    level: str
    text: str
    closes: bool = False  # whether it is the last


class Notified(NamedTuple):
    """A notice on its way to people."""

    transport: str
    notice: Notification


class Undelivered(NamedTuple):
    """The broker does not have the message, or nobody can tell (Unavailable)."""

    error: HeadwayError


class Overheard(NamedTuple):
    """Something that counts for nothing, and why."""

    reason: str
    # Once what was heard before is stored: perhaps it is the same again, from a lost connection.
    settle: Callable[[], object] = lambda: None


Heard = Claimed | GivenBack | Lost | Answered | Line | Notified | Undelivered | Overheard


class Dispatch(NamedTuple):
    """An attempt at a step, as it is sent, and who is told what is heard of it."""

    attempt: str
    run: str
    command: str
    step: StepMessage
    told: Callable[[str, Heard], None]  # the attempt, and what was heard
    deadline_us: int | None = None
    # Whether who dispatches it tells people that it has started, where the worker has not by then.
    notifies: bool = False


@dataclass(slots=True)
class _Offer:
    """An attempt that somebody waits for."""

    attempt: str
    run: str
    replies: str  # the reply queue
    key: str
    message: Message
    told: Callable[[str, Heard], None]
    is_out: bool = False  # whether the broker has its message, or may have it
    asks: tuple[str, str] | None = None  # a worker that waits for the grant, and its address


@dataclass(slots=True)
class _Run:
    """What is under way for one run."""

    attempts: dict[str, None] = field(default_factory=dict)  # the oldest first
    replies: dict[str, None] = field(default_factory=dict)  # queues used, the last one last
    busy: set[str] = field(default_factory=set)  # those on which an answer may come yet


class Dispatcher:
    """Sends attempts and takes what comes of them. Thread-safe."""

    def __init__(
        self,
        bus: Bus,
        name: str,
        *,
        durable: str = "",
        watches: Sequence[str] = (names.OUTPUT, names.notify_key("#")),
        lost_after_s: float = LOST_AFTER_S,
        look_s: float | None = LOOK_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """The bus is open, or will be before ``open``.

        ``name`` begins the names of its queues, which only it may use. They are kept when the
        connection is lost; ``durable``: and for whoever follows with the same name, even if the
        broker is killed; a word that no other of the name has had. ``watches``: the keys of what
        it listens to besides. ``lost_after_s``: how long a worker that cannot be found is waited
        for. ``look_s``: how often the workers that hold attempts are looked for; None: when
        somebody calls ``look``.
        """
        self.ignored: Counter[str] = Counter()  # what counted for nothing, by reason
        self._bus = bus
        self._name = name
        self._durable = durable
        self._watches = watches
        self._look_s = look_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._making = threading.Lock()  # a reply queue
        self._claims = Claims()
        self._holders = Holders(lost_after_s)
        self._granted: dict[str, str] = {}  # attempt to worker, of those that are under way
        self._was_away = False
        self._wanted = threading.Event()  # somebody holds an attempt
        self._closed = threading.Event()
        self._looking: threading.Thread | None = None
        self._offers: dict[str, _Offer] = {}
        self._past: OrderedDict[str, _Offer] = OrderedDict()  # of which lines may still come
        self._runs: dict[str, _Run] = {}
        self._queues: list[str] = []  # for replies
        # Queues of those before, on which something is owed, and whether it is heard.
        self._adopted: dict[str, bool] = {}
        self._answers_claims = False
        self._consumers: list[Consumer] = []

    @property
    def claims_queue(self) -> str:
        return f"{self._name}.claims"

    def open(self) -> None:
        """A durable one answers claims from ``hear_adopted`` on. Raises: Refused, Unavailable."""
        claims, watch = self._queue(self.claims_queue, CLAIMS_KEPT_S), f"{self._name}.watch"
        self._bus.declare(Exchange(names.EXCHANGE), claims)
        if not self._durable:
            self._answer_claims()
        if self._watches:
            bindings = tuple(Binding(names.EXCHANGE, key) for key in self._watches)
            # Not kept for us: what nobody hears of these is lost, and nothing waits for it.
            watched = Queue(watch, QueueKind.CLASSIC, bindings, durable=False, exclusive=True)
            if self._durable:
                arguments = {"x-max-length-bytes": WATCH_BYTES, "x-expires": DURABLE_KEPT_S * 1000}
                watched = Queue(watch, QueueKind.CLASSIC, bindings, arguments=arguments)
            self._bus.declare(watched)
            self._consume(watch, self._on_watched)
        self._more_replies(0)
        self._bus.listen(self._on_news)
        if self._look_s is not None:
            self._looking = threading.Thread(
                target=self._look_on, args=(self._look_s,), name="headway-holders", daemon=True
            )
            self._looking.start()

    def close(self) -> None:
        """Nothing more is wanted. Queues that are not durable are removed."""
        self._closed.set()
        self._wanted.set()
        if self._looking is not None:
            self._looking.join()
        for consumer in self._consumers:
            consumer.cancel()
        if self._durable:
            return
        for name in (self.claims_queue, *self._queues):
            try:
                self._bus.delete(name)
            except HeadwayError as error:
                _LOG.info("queue %s stays for %d s: %s", name, KEPT_S, error)

    def offer(self, dispatch: Dispatch, replies: str = "") -> Confirmation:
        """Publish the step message. ``replies``: what ``reserve`` said, if it was asked.

        What comes of the publishing is heard too, as far as it is no success.
        Raises: WireError for what cannot be sent; Refused and Unavailable when a reply queue
        cannot be had.
        """
        return self._publish(self._taken_note_of(dispatch, replies or self.reserve(dispatch.run)))

    def adopt(
        self, dispatch: Dispatch, replies: str, worker: str | None = None, address: str = ""
    ) -> None:
        """Take up an attempt that a dispatcher of this name, which has gone, offered, or was
        about to. ``worker``, ``address``: as it was claimed; None: as far as is known, nobody has.
        One without an address claims nothing, and has said that it has started.

        Nothing is heard of it before ``hear_adopted``. Raises: WireError for what cannot be sent.
        """
        self._adopted.setdefault(replies, False)
        has_started = worker is not None and not address
        offer = self._taken_note_of(dispatch, replies, worker, has_started=has_started)
        offer.is_out = True
        if worker is not None and address:
            with self._lock:
                self._granted[dispatch.attempt] = worker
                self._holders.claimed(worker, address)
                self._was_away = True  # until now: its connection may have been lost meanwhile
            self._wanted.set()

    def _taken_note_of(
        self,
        dispatch: Dispatch,
        replies: str,
        worker: str | None = None,
        *,
        has_started: bool = False,
    ) -> _Offer:
        attempt, run, command, step, told, deadline_us, notifies = dispatch
        headers: dict[str, str | int] = {names.CLAIMS: self.claims_queue}
        if notifies:
            headers[names.NOTIFIES] = True
        if deadline_us is not None:
            headers[names.DEADLINE] = deadline_us
        message = Message(
            step.encode(),
            names.JSON,
            headers,
            correlation_id=run,
            reply_to=replies,
            message_id=attempt,
        )
        offer = _Offer(attempt, run, replies, names.worker_key(command), message, told)
        with self._lock:
            self._offers[attempt] = offer
            self._claims.offer(attempt, run, replies, worker, has_started=has_started)
            self._runs.setdefault(run, _Run()).attempts[attempt] = None
        return offer

    def offer_again(self, attempt: str) -> None:
        """Publish it once more: nobody can tell whether it arrived. Claims tell them apart."""
        with self._lock:
            offer = self._offers.get(attempt)
        if offer is not None:
            self._publish(offer)

    def is_taken(self, attempt: str) -> bool:
        """Whether a worker has it, asks for it, or has answered; that is told, or has been."""
        with self._lock:
            known = self._claims.attempts.get(attempt)
            return known is not None and known.standing is not Standing.OFFERED

    def is_answered(self, attempt: str) -> bool:
        """Whether its final answer has come; it is told, or has been."""
        with self._lock:
            known = self._claims.attempts.get(attempt)
            return known is not None and known.standing is Standing.ENDED

    def withdraw(self, attempt: str) -> bool:
        """Take back what nobody has yet; whether that was so. Claims are denied."""
        with self._lock:
            if attempt not in self._offers or self._has_begun(attempt):
                return False
            asks = self._forget(attempt)
        self._deny(attempt, asks)
        return True

    def forget(self, attempt: str) -> None:
        """It is over: later news of it counts for nothing."""
        with self._lock:
            asks = self._forget(attempt)
        self._deny(attempt, asks)

    def leave(self, run: str) -> None:
        """Nothing more is offered for the run, and nothing that is heard of it counts."""
        with self._lock:
            known = self._runs.pop(run, _Run())
            asking = [(attempt, self._forget(attempt)) for attempt in known.attempts]
        for attempt, asks in asking:
            self._deny(attempt, asks)

    def tell(self, transport: str, notice: Notification, run: str, attempt: str) -> Confirmation:
        """Publish a notice; it is for the caller to care whether anybody hears it."""
        return self.announce(names.notify_key(transport), notice, run, attempt)

    def announce(
        self, key: str, notice: Notification, run: str, attempt: str | None = None
    ) -> Confirmation:
        """The same, to any routing key, and of a whole run where no attempt is named."""
        message = Message(
            notice.encode(), names.JSON, correlation_id=run, reply_to=names.LOG, message_id=attempt
        )
        return self._bus.publish(message, key, names.EXCHANGE)

    # What comes

    def _publish(self, offer: _Offer) -> Confirmation:
        def confirmed(confirmation: Confirmation) -> None:
            error = confirmation.error
            if error is None or isinstance(error, Unavailable):
                offer.is_out = True
            if error is not None:
                offer.told(offer.attempt, Undelivered(error))

        confirmation = self._bus.publish(offer.message, offer.key, names.EXCHANGE)
        confirmation.then(confirmed)
        return confirmation

    def _on_claim(self, delivery: Delivery) -> None:
        message = delivery.message
        try:
            claim = Claim.decode(message.body)
        except WireError as error:
            self._ignore(delivery, None, str(error))
            return
        with self._lock:
            offer = self._offers.get(claim.attempt)
            again = claim.attempt in self._granted
            answer = self._claims.claim(claim)
            if isinstance(answer, Attempt):
                self._let_go(claim.attempt)
                if offer is not None:
                    offer.asks = None
            elif isinstance(answer, Grant) and answer.granted and offer is not None:
                offer.is_out = True
                offer.asks = claim.worker, message.reply_to or ""
        settle = partial(self._bus.settle, delivery, Settlement.ACK)
        if isinstance(answer, Ignored):
            self._ignore(delivery, offer, answer.reason)
            return
        if isinstance(answer, Attempt) and offer is not None:
            offer.told(offer.attempt, GivenBack(claim.worker, settle))
            return
        settle()
        if isinstance(answer, Attempt):
            return
        if message.reply_to is None:
            self._ignore(None, offer, "a claim without reply address")
        elif answer.granted and offer is not None:
            grant = partial(self._grant, offer.attempt, claim.worker, message.reply_to)
            offer.told(offer.attempt, Claimed(claim.worker, grant, again, message.reply_to))
        else:
            self._bus.publish(Message(answer.encode(), names.JSON), message.reply_to)
            self._ignore(None, offer, f"a claim: {answer.reason}")

    def _grant(self, attempt: str, worker: str, address: str) -> bool:
        with self._lock:
            known, offer = self._claims.attempts.get(attempt), self._offers.get(attempt)
            if known is None or offer is None or known.worker != worker or not known.is_held:
                return False  # it was given up meanwhile, or given back
            offer.asks = None
            self._granted[attempt] = worker
            self._holders.claimed(worker, address)
        self._wanted.set()
        grant = Grant(attempt=attempt, worker=worker, granted=True)
        self._bus.publish(Message(grant.encode(), names.JSON), address)
        return True

    def _on_reply(self, delivery: Delivery) -> None:
        message = delivery.message
        worker, notices = _sender(message)
        try:
            response = Response.decode(message.body)
        except WireError as error:
            self._ignore(delivery, self._offer_of(message), str(error))
            return
        run = message.correlation_id or ""
        with self._lock:
            known = self._claims.answer(response, worker, message.message_id, run, delivery.queue)
            offer = self._offers.get(known.id) if isinstance(known, Attempt) else None
        if isinstance(known, Ignored) or offer is None:
            reason = known.reason if isinstance(known, Ignored) else "nobody waits for it"
            self._ignore(delivery, self._offer_of(message), f"{response.status}: {reason}")
            return
        settle = partial(self._bus.settle, delivery, Settlement.ACK)
        closing = message.headers.get(names.CLOSING) is True
        offer.told(offer.attempt, Answered(response, worker, notices, settle, closing))

    def _on_watched(self, delivery: Delivery) -> None:
        self._bus.settle(delivery, Settlement.ACK)
        offer = self._offer_of(delivery.message)
        if offer is None:
            return  # another's
        heard: Heard
        try:
            if delivery.routing_key == names.OUTPUT:
                output = Output.decode(delivery.message.body)
                level = output.level if isinstance(output.level, str) else "info"
                closes = delivery.message.headers.get(names.CLOSING) is True
                heard = Line(level, output.message, closes)
            else:
                transport = delivery.routing_key.removeprefix(names.notify_key(""))
                heard = Notified(transport, Notification.decode(delivery.message.body))
        except WireError as error:
            heard = Overheard(str(error))
        offer.told(offer.attempt, heard)

    def _offer_of(self, message: Message) -> _Offer | None:
        """The attempt that a message says it is of; else the run's oldest that is under way."""
        attempt = message.message_id or ""
        with self._lock:
            named = self._offers.get(attempt) or self._past.get(attempt)
            if named is not None:
                return named
            run = self._runs.get(message.correlation_id or "")
            oldest = next(iter(run.attempts), None) if run is not None else None
            return self._offers[oldest] if oldest is not None else None

    def _ignore(self, delivery: Delivery | None, offer: _Offer | None, reason: str) -> None:
        self.ignored[reason] += 1
        settle = partial(self._bus.settle, delivery, Settlement.ACK) if delivery else None
        if offer is not None and settle is not None and offer.run in self._runs:
            offer.told(offer.attempt, Overheard(reason, settle))
            return
        if settle is not None:
            settle()
        if offer is not None:
            offer.told(offer.attempt, Overheard(reason))

    def _has_begun(self, attempt: str) -> bool:
        """A worker that only waits for its grant has not."""
        known = self._claims.attempts.get(attempt)
        if known is None or known.standing is Standing.OFFERED:
            return False
        return known.standing is not Standing.GRANTED or attempt in self._granted

    def _forget(self, attempt: str) -> tuple[str, str] | None:
        """Whom to deny it, now: who waits for the grant, and the address."""
        offer = self._offers.pop(attempt, None)
        known = self._claims.attempts.get(attempt)
        self._claims.forget(attempt)
        self._let_go(attempt)
        if offer is None:
            return None
        self._past[attempt] = offer
        if len(self._past) > PAST:
            self._past.popitem(last=False)
        run = self._runs.get(offer.run)
        if run is not None:
            run.attempts.pop(attempt, None)
            is_owed = known is None or known.standing is not Standing.ENDED
            if not (offer.is_out and is_owed):
                run.busy.discard(offer.replies)
        return offer.asks

    def _deny(self, attempt: str, asks: tuple[str, str] | None) -> None:
        if asks is not None and asks[1]:
            grant = Grant(
                attempt=attempt, worker=asks[0], granted=False, reason="it was taken back"
            )
            self._bus.publish(Message(grant.encode(), names.JSON), asks[1])

    # Whether workers are still there

    def _let_go(self, attempt: str) -> None:
        """Nobody has it any more."""
        worker = self._granted.pop(attempt, None)
        if worker is not None and worker not in self._granted.values():
            self._holders.forget(worker)

    def _on_news(self, news: News) -> None:
        if isinstance(news, Opened):
            self._was_away = True

    def _look_on(self, look_s: float) -> None:
        while not self._closed.is_set():
            self._wanted.wait()
            self._closed.wait(look_s)
            if not self._closed.is_set():
                self.look()

    def look(self) -> None:
        """See whether the workers that hold attempts are still there."""
        with self._lock:
            addresses = dict(self._holders.addresses)
            if not addresses:
                self._wanted.clear()
                return
            was_away, self._was_away = self._was_away, False
            if was_away:
                self._holders.was_away(self._monotonic())
            granted = dict(self._granted) if was_away else {}
        for attempt, worker in granted.items():
            # A grant may have gone with our connection; the worker would ask again much later.
            self._grant(attempt, worker, addresses[worker])
        for worker, address in addresses.items():
            try:
                is_there = self._bus.exists(address)
            except HeadwayError as error:
                _LOG.debug("worker %s cannot be looked for: %s", worker, error)
                continue
            self._found(worker, is_there=is_there)

    def _found(self, worker: str, *, is_there: bool) -> None:
        with self._lock:
            if not self._holders.found(worker, is_there, self._monotonic()):
                return
            offers = [self._offers.get(one.id) for one in self._claims.lost(worker)]
        for offer in offers:
            if offer is not None:
                offer.told(offer.attempt, Lost(worker))

    # Queues

    @property
    def is_durable(self) -> bool:
        """Whether its attempts can be adopted."""
        return bool(self._durable)

    def reserve(self, run: str) -> str:
        """A reply queue on which no answer to the run may come; for its next attempt.

        Raises: Refused, Unavailable.
        """
        while True:
            with self._lock:
                known = self._runs.setdefault(run, _Run())
                name = next((one for one in self._queues if one not in known.replies), None)
                if name is None:
                    free = [one for one in known.replies if one not in known.busy]
                    name = free[0] if len(free) > RESTING else None
                if name is not None:
                    known.replies.pop(name, None)
                    known.replies[name] = None
                    known.busy.add(name)
                    return name
                count = len(self._queues)
            self._more_replies(count)

    def _more_replies(self, count: int) -> None:
        """One more than so many, unless somebody else has made it meanwhile."""
        with self._making:
            if len(self._queues) > count:
                return
            mine = f"{self._durable}." if self._durable else ""
            name = f"{self._name}.{mine}replies.{count + 1}"
            self._bus.declare(self._queue(name, KEPT_S))
            self._consume(name, self._on_reply)
            with self._lock:
                self._queues.append(name)

    def _consume(self, queue: str, handler: Callable[[Delivery], None]) -> None:
        self._consumers.append(self._bus.consume(queue, handler, prefetch=PREFETCH, inline=True))

    def _answer_claims(self) -> None:
        self._consume(self.claims_queue, self._on_claim)
        self._answers_claims = True

    def hear_adopted(self) -> None:
        """Take claims, and what is answered to adopted attempts, all of which are known now: who
        claims another is denied it, and what is heard of it counts for nothing.

        Raises: Refused, Unavailable.
        """
        if not self._answers_claims:
            self._answer_claims()
        for name in [name for name, is_heard in self._adopted.items() if not is_heard]:
            # One that has expired is made again, so that it is heard as others are.
            self._bus.declare(self._queue(name, KEPT_S))
            self._consume(name, self._on_reply)
            self._adopted[name] = True

    def _queue(self, name: str, kept_s: int) -> Queue:
        # Classic also where they are to last: a quorum queue that is declared a moment before the
        # broker is killed may stay without a leader, and never be heard again. That a classic one
        # may forget an acknowledgement then is nothing to us: what comes twice is ignored.
        kept_s = DURABLE_KEPT_S if self._durable else kept_s
        return Queue(name, QueueKind.CLASSIC, arguments={"x-expires": kept_s * 1000})


def _sender(message: Message) -> tuple[str, tuple[str, ...]]:
    notices = message.headers.get(names.NOTICES)
    listed = notices if isinstance(notices, list) else ()
    return str(message.headers.get(names.WORKER, "")), tuple(map(str, listed))
