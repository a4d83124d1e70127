"""The line of a Celery worker's process: whose it is, how long it is kept, and when it is not."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from celery import Celery

from headway.adapters.celery_tries import kept_line
from headway.adapters.celery_tries.kept_line import KeptLine
from headway.adapters.celery_tries.line import Line, Publication
from headway.adapters.celery_tries.messages import Stands, holder_queue
from headway.errors import Unavailable
from headway.testing.sample_jobs import LONGEST_S


class Hears:
    """A holder that writes down what it hears."""

    replies = "headway.run.here"

    def __init__(self) -> None:
        self.heard: list[Stands] = []
        self.news = threading.Event()
        self.beaten = threading.Event()

    def hear(self, heard: Stands) -> None:
        self.heard.append(heard)
        self.news.set()

    def beat(self) -> None:
        self.beaten.set()


@pytest.fixture
def app() -> Celery:
    return Celery("proj", broker="memory://", set_as_current=False)


@pytest.fixture
def kept() -> Iterator[KeptLine]:
    line = KeptLine()
    yield line
    line.close()


def test_those_who_come_after_and_beside_each_other_have_one_line(
    kept: KeptLine, app: Celery
) -> None:
    first, one = kept.join(Hears(), app)
    second, other = kept.join(Hears(), app)
    assert first is second
    assert one != other
    assert holder_queue(one) == holder_queue(other)
    first.leave(one, answered=True)
    first.leave(other, answered=True)
    before = threading.active_count()
    for _ in range(1_000):
        again, id = kept.join(Hears(), app)
        assert again is first
        again.leave(id, answered=True)
    assert threading.active_count() == before


def test_each_hears_what_is_said_to_it_and_beats(kept: KeptLine, app: Celery) -> None:
    one, other = Hears(), Hears()
    line, id = kept.join(one, app)
    kept.join(other, app)
    told = Publication(holder_queue(id), Stands(id, heard=3).text())
    line.due("told", lambda producer: [told])
    assert one.news.wait(LONGEST_S)
    assert one.heard == [Stands(id, heard=3)]
    assert one.beaten.wait(LONGEST_S)
    assert other.beaten.wait(LONGEST_S)
    assert other.heard == []


def test_it_is_given_up_when_nobody_has_needed_it_for_a_while(
    kept: KeptLine, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_line, "IDLE_S", 0.0)
    monkeypatch.setattr(kept_line, "BEAT_S", 0.02)
    before = set(threading.enumerate())
    line, id = kept.join(Hears(), app)
    line.leave(id, answered=True)
    for thread in set(threading.enumerate()) - before:
        thread.join(LONGEST_S)
        assert not thread.is_alive()
    assert kept.join(Hears(), app)[0] is not line


def test_it_is_given_up_when_somebody_was_left_without_an_answer(
    kept: KeptLine, app: Celery
) -> None:
    line, id = kept.join(Hears(), app)
    stays = Hears()
    _, stays_id = kept.join(stays, app)
    line.leave(id, answered=False)
    assert kept.join(Hears(), app)[0] is not line
    # Who is on it goes on, all the same.
    told = Publication(holder_queue(stays_id), Stands(stays_id).text())
    line.due("told", lambda producer: [told])
    assert stays.news.wait(LONGEST_S)
    line.leave(stays_id, answered=True)
    line.close()


def test_a_fork_has_a_line_of_its_own(
    kept: KeptLine, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, _ = kept.join(Hears(), app)
    with monkeypatch.context() as forked:
        forked.setattr(kept_line, "os", SimpleNamespace(getpid=lambda: -1))
        kept.close()  # the other process's: left alone
        own, _ = kept.join(Hears(), app)
        assert own is not line
        kept.close()
    heard = Hears()
    id = line.join(heard)
    assert id is not None
    line.due("told", lambda producer: [Publication(holder_queue(id), Stands(id).text())])
    assert heard.news.wait(LONGEST_S)
    line.close()


def test_a_broker_that_is_lost_while_nobody_needs_it_is_not_connected_to_again(
    kept: KeptLine, app: Celery
) -> None:
    before = set(threading.enumerate())
    line, id = kept.join(Hears(), app)
    line.leave(id, answered=True)

    def breaks(producer: object) -> list[Publication]:
        raise ConnectionResetError("gone")

    line.due("told", breaks)
    for thread in set(threading.enumerate()) - before:
        thread.join(LONGEST_S)
        assert not thread.is_alive()
    assert kept.join(Hears(), app)[0] is not line


def test_where_no_line_opens_the_next_one_who_comes_tries_anew(
    kept: KeptLine, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(line: Line, wait_s: float = 0.0) -> None:
        raise Unavailable("it does not answer")

    with monkeypatch.context() as away:
        away.setattr(Line, "open", fails)
        with pytest.raises(Unavailable):
            kept.join(Hears(), app)
    kept.join(Hears(), app)
