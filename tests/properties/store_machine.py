"""Any sequence of calls, on a real store and on the one in plain dictionaries."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from headway.errors import HeadwayError
from headway.jobs.events import Row
from headway.jobs.states import RunState
from headway.ports.playbooks import PlaybookText
from headway.ports.store import Line, Owner, RunRecord, Store
from headway.testing.memory import MemoryStore
from headway.testing.stores import EVER, launch

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

    @rule(id=IDS, owner=OWNERS, text=TEXT)
    def begin(self, id: str, owner: Owner, text: str) -> None:
        self.next_us += 1
        at_us = self.next_us
        given, plan = launch(target=text), json.dumps(text)
        epoch = self.both(lambda store: store.begin(id, given, plan, 3, owner, at_us))
        if isinstance(epoch, int):
            self.epochs[id], self.seqs[id] = epoch, 2

    @rule(id=IDS, off=st.sampled_from([0, 0, 0, 1, -1]), owner=OWNERS, next_lap=st.booleans())
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
        known = [(number, text) for number, text in answers if number <= len(self.requests)]

        def write(store: Store) -> None:
            to = dict(enumerate(self.requests.items(), 1))
            which = 0 if store is self.real else 1
            store.append(
                id,
                epoch,
                lap,
                seq,
                rows,
                state=state,
                lines=lines,
                answers=[(to[number][which], text) for number, text in known],
            )

        if self.both(write) is None:
            self.seqs[id] = max(self.seqs.get(id, 2), seq + len(rows))

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

    @rule(prefix=PREFIXES)
    def find(self, prefix: str | None) -> None:
        self.both(lambda store: told(store.find(prefix)))

    @rule(limit=st.integers(1, 4), before_us=st.none() | st.integers(0, 9))
    def runs(self, limit: int, before_us: int | None) -> None:
        self.both(lambda store: [told(record) for record in store.runs(limit, before_us)])

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


def told(record: RunRecord) -> tuple[Any, ...]:
    """What does not depend on the moment."""
    return record._replace(seen_s=0.0, ended_us=None if record.ended_us is None else 1)
