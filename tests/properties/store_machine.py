"""Any sequence of calls, on a real store and on the one in plain dictionaries."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from headway.errors import HeadwayError, Lost
from headway.jobs.events import Row
from headway.jobs.states import RunState
from headway.ports.leases import CORE, LeaseRecord
from headway.ports.playbooks import PlaybookText
from headway.ports.store import Line, Owner, RunRecord, Store, Write
from headway.ports.tokens import Token
from headway.ports.workers import WorkerRecord
from headway.testing.memory import MemoryStore
from headway.testing.stores import EVER, launch
from headway.wire.messages import PRESENCE_STATES, Presence

IDS = st.sampled_from(["a" * 24, "ab" + "0" * 22, "abc" + "0" * 21, "b" * 24])
PREFIXES = st.one_of(st.none(), IDS, st.sampled_from(["", "a", "ab", "AB", "abc", "c", "%", "bx"]))
SMALL = st.integers(0, 4)
TEXT = st.text(max_size=6)
MOMENTS = st.integers(0, 2**60)
BODIES = st.none() | st.just('{"a":"\\u0000"}')
ENDS = st.builds(
    Row,
    st.sampled_from(["passed", "repaired", "failed", "overdue", "in doubt"]),
    MOMENTS,
    SMALL,
    SMALL,
    BODIES,
)
OTHERS = st.builds(
    Row,
    st.sampled_from(["run-intended", "run-cancelled"]),
    MOMENTS,
    st.none() | SMALL,
    st.none() | SMALL,
    BODIES,
)
ROWS = st.lists(ENDS | OTHERS, max_size=4)
LINES = st.lists(st.builds(Line, SMALL, SMALL, SMALL, TEXT, TEXT, SMALL), max_size=4)
STATES = st.none() | st.sampled_from(list(RunState))
ANSWERS = st.lists(st.tuples(st.integers(1, 5), TEXT), max_size=2)
NAMES = st.sampled_from(["", "a", "a/a", "A", "\0", "ä"])
TYPED = st.builds(PlaybookText, TEXT, st.sampled_from(["YAML", "JSON"]), SMALL)
OWNERS = st.builds(Owner, TEXT, SMALL, TEXT, TEXT)
# Few enough to meet again: the holders of leases, and who takes up what a core left.
CORES = st.builds(
    Owner, st.sampled_from(["a", "\0"]), st.integers(0, 1), st.just("s"), st.just("b")
)
TAGS = st.lists(st.sampled_from(["a", "b", "\0", "\\x00"]), max_size=3)
GROUPS = st.sampled_from(["", "a", "\0"])
KEYS = st.none() | st.sampled_from(["a", "A", "\0"])
TOKENS = st.builds(
    Token,
    st.sampled_from(["a", "b"]),
    TEXT,
    st.sampled_from(["x", "y", "\0"]),
    st.lists(TEXT, max_size=2).map(tuple),
    st.lists(TEXT, max_size=2).map(tuple),
    TEXT,
    SMALL,
    st.none() | SMALL,
    st.none() | SMALL,
)
PRESENCES = st.builds(
    Presence,
    worker=GROUPS,
    queue=GROUPS,
    command=st.just("frob"),
    state=st.sampled_from(PRESENCE_STATES),
    host=TEXT,
    since_us=SMALL,
    interval_s=st.sampled_from([0, 5]),
    number=SMALL,
)


class StoreMachine(RuleBasedStateMachine):
    """Compares what both stores say. Set ``open_store`` in a subclass."""

    open_store: Callable[[], Store]

    def __init__(self) -> None:
        super().__init__()
        self.real = type(self).open_store()
        self.model: Store = MemoryStore()
        self.next_us = 0
        # The stores number requests and lines each in its own way: real number to the model's.
        self.requests: dict[int, int] = {}
        self.epochs: dict[str, int] = {}
        self.seqs: dict[str, int] = {}
        self.versions: dict[str, int] = {}  # of playbooks
        self.lease_epoch = 1

    def teardown(self) -> None:
        self.real.close()

    def both(self, call: Callable[[Store], Any]) -> Any:
        told = []
        for store in (self.real, self.model):
            try:
                told.append(call(store))
            except HeadwayError as error:
                told.append(type(error))
        real, model = told
        assert real == model
        return real

    @rule(id=IDS, owner=OWNERS, text=TEXT, locks=TAGS, group=GROUPS)
    def begin(self, id: str, owner: Owner, text: str, locks: list[str], group: str) -> None:
        self.next_us += 1
        at_us = self.next_us
        given, plan = launch(target=text, locks=locks, group=group), json.dumps(text)
        epoch = self.both(lambda store: store.begin(id, given, plan, 3, owner, at_us))
        if isinstance(epoch, int):
            self.epochs[id], self.seqs[id] = epoch, 2

    @rule(id=IDS, locks=TAGS, group=GROUPS, key=KEYS)
    def enqueue(self, id: str, locks: list[str], group: str, key: str | None) -> None:
        self.next_us += 1
        at_us, given = self.next_us, launch(locks=locks, group=group)
        there = self.epochs.get(id)
        stored = self.both(lambda store: store.enqueue(id, given, "{}", 3, at_us, key=key))
        if stored == id and (there is None or self.model.find(id).epoch == 0):
            self.epochs[id], self.seqs[id] = 0, 2

    @rule(id=IDS, off=st.sampled_from([0, 0, 0, 1]))
    def release(self, id: str, off: int) -> None:
        epoch = self.epochs.get(id, 1) + off
        self.both(lambda store: store.release(id, epoch))

    @rule(
        id=IDS, off=st.sampled_from([0, 0, 0, 1, -1]), owner=OWNERS | CORES, next_lap=st.booleans()
    )
    def take(self, id: str, off: int, owner: Owner, next_lap: bool) -> None:
        epoch = self.epochs.get(id, 1) + off
        taken = self.both(lambda store: store.take(id, epoch, owner, next_lap=next_lap))
        if isinstance(taken, int):
            self.epochs[id] = taken

    @rule(
        id=IDS,
        off=st.sampled_from([0, 0, 0, 0, -1]),
        back=st.sampled_from([0, 0, 0, 0, 1]),
        lap=st.integers(1, 2),
        rows=ROWS,
        state=STATES,
        lines=LINES,
        answers=ANSWERS,
    )
    def append(
        self,
        id: str,
        off: int,
        back: int,
        lap: int,
        rows: list[Row],
        state: RunState | None,
        lines: list[Line],
        answers: list[tuple[int, str]],
    ) -> None:
        epoch, seq = self.epochs.get(id, 1) + off, self.seqs.get(id, 2) - back

        def write(store: Store) -> None:
            to = self.numbered(store, answers)
            store.append(id, epoch, lap, seq, rows, state=state, lines=lines, answers=to)

        if self.both(write) is None:
            self.seqs[id] = max(self.seqs.get(id, 2), seq + len(rows))

    @rule(
        ids=st.lists(IDS, max_size=4),
        off=st.sampled_from([0, 0, 0, 0, -1]),
        rows=ROWS,
        state=STATES,
        lines=LINES,
        answers=ANSWERS,
    )
    def append_all(
        self,
        ids: list[str],
        off: int,
        rows: list[Row],
        state: RunState | None,
        lines: list[Line],
        answers: list[tuple[int, str]],
    ) -> None:
        """To the last of the runs alone come state, lines, answers and a wrong epoch."""
        refused: list[str] = []

        def write(store: Store) -> None:
            to = self.numbered(store, answers)
            writes = [
                Write(id, self.epochs.get(id, 1), 1, self.seqs.get(id, 2), rows) for id in ids
            ]
            if writes:
                last = writes[-1]._replace(state=state, lines=lines, answers=to)
                writes[-1] = last._replace(epoch=last.epoch + off)
            try:
                store.append_all(writes)
            except Lost as error:
                refused.append(error.run)
                raise

        if self.both(write) is None:
            for id in ids:
                self.seqs[id] = self.seqs.get(id, 2) + len(rows)
        assert len(set(refused)) <= 1

    def numbered(self, store: Store, answers: list[tuple[int, str]]) -> list[tuple[int, str]]:
        """Answers by the numbers that requests have in a store."""
        to, which = list(self.requests.items()), 0 if store is self.real else 1
        return [(to[number - 1][which], text) for number, text in answers if number <= len(to)]

    @rule(id=IDS, lines=LINES)
    def add_output(self, id: str, lines: list[Line]) -> None:
        self.both(lambda store: store.add_output(id, lines))

    @rule(id=IDS, off=st.sampled_from([0, 0, 1]))
    def beat(self, id: str, off: int) -> None:
        epoch = self.epochs.get(id, 1) + off
        self.both(lambda store: store.beat(id, epoch))

    @rule(id=IDS, verb=TEXT, who=TEXT, args=st.dictionaries(TEXT, SMALL, max_size=2))
    def ask(self, id: str, verb: str, who: str, args: dict[str, int]) -> None:
        numbers: list[int] = []
        self.both(lambda store: numbers.append(store.ask(id, verb, args, who, 1)))
        if numbers:
            real, model = numbers
            self.requests[real] = model

    @rule(id=IDS)
    def asked(self, id: str) -> None:
        self.both(lambda store: [request[1:] for request in store.asked(id)])

    @rule(skip=SMALL)
    def open_requests(self, skip: int) -> None:
        def read(store: Store) -> list[Any]:
            first = store.open_requests()[:skip]
            after = first[-1].id if first else 0
            return [request[1:] for request in store.open_requests(after)]

        self.both(read)

    @rule(unowned=st.booleans())
    def core_runs(self, unowned: bool) -> None:
        self.both(lambda store: [told(run) for run in store.core_runs(unowned=unowned)])

    @rule(id=IDS)
    def ahead_of(self, id: str) -> None:
        self.both(lambda store: [lock[:2] for lock in store.ahead_of(id)])

    @rule(holder=CORES, over=st.booleans())
    def lease(self, holder: Owner, over: bool) -> None:
        epoch = self.both(lambda store: store.lease(CORE, holder, 0.0 if over else 3600.0))
        if isinstance(epoch, int):
            self.lease_epoch = epoch

    @rule(off=st.sampled_from([0, 0, 1, -1]), gives_up=st.booleans())
    def renew(self, off: int, gives_up: bool) -> None:
        epoch = self.lease_epoch + off
        if gives_up:
            self.both(lambda store: store.leave(CORE, epoch))
        else:
            self.both(lambda store: store.renew(CORE, epoch))

    @rule(token=TOKENS)
    def add_token(self, token: Token) -> None:
        self.both(lambda store: store.add_token(token))
        self.both(lambda store: store.token(token.digest))

    @rule(id=st.sampled_from(["a", "b", "\0"]), at_us=SMALL)
    def revoke_token(self, id: str, at_us: int) -> None:
        self.both(lambda store: store.revoke_token(id, at_us))
        self.both(lambda store: store.tokens())

    @rule(said=st.lists(PRESENCES, max_size=3), is_late=st.booleans())
    def note_workers(self, said: list[Presence], is_late: bool) -> None:
        seen_s = 3600.0 if is_late else 0.0
        heard = {(one.queue, one.worker): WorkerRecord(one, seen_s) for one in said}
        self.both(lambda store: store.note_workers(list(heard.values())))

    @rule(limit=st.integers(1, 3), after=st.tuples(GROUPS, GROUPS))
    def workers(self, limit: int, after: tuple[str, str]) -> None:
        self.both(lambda store: [one.presence for one in store.workers(limit, after)])

    @rule(before_us=st.sampled_from([0, EVER]))
    def forget_workers(self, before_us: int) -> None:
        self.both(lambda store: store.forget_workers(before_us))

    @rule(prefix=PREFIXES)
    def find(self, prefix: str | None) -> None:
        self.both(lambda store: told(store.find(prefix)))

    @rule(limit=st.integers(1, 4), before_us=st.none() | st.integers(0, 9))
    def runs(self, limit: int, before_us: int | None) -> None:
        self.both(lambda store: [told(record) for record in store.runs(limit, before_us)])

    @rule(
        limit=st.integers(1, 4),
        groups=st.none() | st.lists(GROUPS, max_size=2),
        states=st.none() | st.lists(st.sampled_from(list(RunState)), max_size=3),
    )
    def runs_of(self, limit: int, groups: list[str] | None, states: list[RunState] | None) -> None:
        def read(store: Store) -> list[Any]:
            return [told(run) for run in store.runs(limit, groups=groups, states=states)]

        self.both(read)

    @rule(id=IDS, after=SMALL)
    def journal(self, id: str, after: int) -> None:
        self.both(lambda store: list(store.journal(id, after)))
        self.both(lambda store: store.plan(id))

    @rule(id=IDS, key=st.none() | SMALL, limit=st.integers(1, 5), skip=SMALL)
    def output(self, id: str, key: int | None, limit: int, skip: int) -> None:
        def read(store: Store) -> list[Line]:
            first = store.output(id, key)[:skip]
            after = first[-1].id if first else 0
            return [line._replace(id=0) for line in store.output(id, key, after, limit)]

        self.both(read)

    @rule(before_us=st.sampled_from([0, EVER]), keep=SMALL)
    def prune(self, before_us: int, keep: int) -> None:
        self.both(lambda store: store.prune(before_us, keep))

    @rule(id=IDS, group=NAMES, name=NAMES, typed=TYPED, who=TEXT)
    def add_playbook(self, id: str, group: str, name: str, typed: PlaybookText, who: str) -> None:
        self.both(lambda store: store.add_playbook(id, group, name, typed, who, 1))

    @rule(id=IDS, off=st.sampled_from([0, 0, 0, 1, -1]), name=NAMES, typed=TYPED, who=TEXT)
    def edit_playbook(self, id: str, off: int, name: str, typed: PlaybookText, who: str) -> None:
        expected = self.versions.get(id, 1) + off
        edited = self.both(lambda store: store.edit_playbook(id, expected, name, typed, who, 2))
        if isinstance(edited, int):
            self.versions[id] = edited

    @rule(id=IDS, who=TEXT)
    def remove_playbook(self, id: str, who: str) -> None:
        self.both(lambda store: store.remove_playbook(id, who, 3))

    @rule(called=PREFIXES.filter(bool) | st.builds("{}/{}".format, NAMES, NAMES))
    def find_playbook(self, called: str) -> None:
        self.both(lambda store: store.find_playbook(called))

    @rule(group=st.none() | NAMES, limit=st.integers(1, 3), after=st.tuples(NAMES, NAMES))
    def playbooks(self, group: str | None, limit: int, after: tuple[str, str]) -> None:
        self.both(lambda store: store.playbooks(group, limit, after))

    @rule(id=IDS, number=SMALL, limit=st.integers(1, 3), before=st.none() | SMALL)
    def playbook_versions(self, id: str, number: int, limit: int, before: int | None) -> None:
        self.both(lambda store: store.playbook_version(id, number))
        self.both(lambda store: store.playbook_versions(id, limit, before))

    @invariant()
    def requests_are_alike(self) -> None:
        for real, model in self.requests.items():
            one, other = self.real.request(real), self.model.request(model)
            assert (one and one[1:]) == (other and other[1:])

    @invariant()
    def locks_and_leases_are_alike(self) -> None:
        self.both(lambda store: [lock[:2] for lock in store.locks()])
        self.both(lambda store: held(store.lease_of(CORE)))


def told(record: RunRecord) -> tuple[Any, ...]:
    """What does not depend on the moment."""
    return record._replace(seen_s=0.0, ended_us=None if record.ended_us is None else 1)


def held(lease: LeaseRecord | None) -> tuple[Owner, int] | None:
    """What does not depend on the moment."""
    return lease and (lease.owner, lease.epoch)
