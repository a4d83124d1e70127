"""Whatever happens to a journal, what it was told is in the store once and in order."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from headway.errors import Unavailable
from headway.jobs.events import RunEnded, RunIntended, TryEnded
from headway.jobs.outcomes import Ending
from headway.jobs.states import RunState
from headway.runtime import output
from headway.testing.stores import RUN
from tests.unit.journals import Fault, begun, passes

FAULTS: st.SearchStrategy[list[Fault]] = st.lists(st.sampled_from(["undone", "done"]), max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(1, 5)),
        st.tuples(st.just("fail"), st.just(1)),
        st.tuples(st.just("intend"), st.just(1)),
        st.tuples(st.just("print"), st.integers(1, 20)),
        st.tuples(st.just("wait"), st.sampled_from([-10.0, 0.01, 0.05, 0.3, 1.1])),
        st.tuples(st.just("tick"), FAULTS),
    ),
    max_size=40,
)


@given(STEPS)
def test_all_is_written_once_and_in_order(steps: list[tuple[str, object]]) -> None:
    journal, store, clock = begun()
    expected: list[tuple[str, int]] = []
    printed = 0
    for key, (step, argument) in enumerate(steps):
        if step == "pass":
            for number in range(1, int(str(argument)) + 1):
                passes(journal, clock, 100 + key * 10 + number)
                expected.append(("passed", 100 + key * 10 + number))
        elif step == "fail":
            journal.write(TryEnded(clock.us, key, 1, Ending.FAILED))
            expected.append(("failed", key))
        elif step == "intend":
            journal.write(RunIntended(clock.us, key, 1))
            expected.append(("run-intended", key))
        elif step == "print":
            for _ in range(int(str(argument))):
                printed += 1
                journal.wrote(1, 1, "out", str(printed))
        elif step == "wait":
            clock.forward(float(str(argument)))
        else:
            assert isinstance(argument, list)
            store.faults = list(argument)
            journal.tick()
            store.faults = []
            # Nothing of what waited is gone, nor anything in front of what is there already.
            assert [(row.kind, row.key) for row in store.written()] == expected[
                : len(store.written())
            ]
    journal.write(RunEnded(1, RunState.FAILED, {}), state=RunState.FAILED)
    found = [(row.kind, row.key) for row in store.written()]
    assert found == [*expected, ("run-ended", None)]
    seqs = [entry.seq for entry in store.journal(RUN)]
    assert seqs == list(range(1, len(seqs) + 1))
    assert {int(line.text) for line in store.output(RUN)} == set(range(1, printed + 1))


@given(STEPS, FAULTS)
def test_after_a_commit_that_failed_nothing_more_is_written(
    steps: list[tuple[str, object]], faults: list[Fault]
) -> None:
    journal, store, clock = begun()
    passes(journal, clock, 1)
    store.faults = ["undone"]
    with suppress(Unavailable):
        journal.write(RunIntended(clock.us, 2, 1))
    store.faults = faults
    for step, argument in steps:
        with suppress(Unavailable):
            if step == "wait":
                clock.forward(float(str(argument)))
            elif step == "tick":
                journal.tick()
            elif step == "pass":
                passes(journal, clock, 3)
            else:
                journal.write(TryEnded(clock.us, 2, 1, Ending.FAILED))
    assert store.written() == []


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 30), st.sampled_from("tweb")), max_size=30
    ),
    st.integers(1, 40),
    st.integers(1, 20),
    st.integers(1, 25),
)
def test_every_line_is_kept_or_counted_in_its_place(
    steps: list[tuple[int, int, str]], a_run: int, a_try: int, waiting: int
) -> None:
    limits = (output.LINES_A_RUN, output.LINES_A_TRY, output.LINES_WAITING)
    output.LINES_A_RUN, output.LINES_A_TRY, output.LINES_WAITING = a_run, a_try, waiting
    try:
        _every_line_is_kept_or_counted(steps, a_run, a_try)
    finally:
        output.LINES_A_RUN, output.LINES_A_TRY, output.LINES_WAITING = limits


def _every_line_is_kept_or_counted(
    steps: list[tuple[int, int, str]], a_run: int, a_try: int
) -> None:
    out = output.Output(lambda: 1)
    written = {1: 0, 2: 0, 3: 0}
    kept = []
    for number, (key, count, then) in enumerate(steps):
        for _ in range(count):
            written[key] += 1
            out.add(key, 1, "out", str(written[key]))
        if then == "t":
            kept += out.take()
        elif then == "b":
            taken = out.take()
            out.put_back(taken)
        elif then == "e" and number % 7 == 6:
            out.ended(key, 1)
    kept += out.take(all_gaps=True)
    for key, count in written.items():
        place = 0
        for line in (line for line in kept if line.key == key):
            if line.lost:
                place += line.lost
            else:
                place += 1
                assert line.text == str(place)
        assert place == count
    assert sum(1 for line in kept if not line.lost) <= a_run
