"""Whatever news comes, and in whatever order: one worker has an attempt, and it ends once."""

from hypothesis import given
from hypothesis import strategies as st

from headway.jobs.schedule import Ignored
from headway.releases.claims import UNNAMED, Attempt, Claims, Standing
from headway.wire.messages import Claim, Grant, Response

WORKERS = ("anna", "ben", UNNAMED)
NEWS = st.lists(
    st.tuples(
        st.sampled_from(["claim", "give back", "started", "completed", "failed", "lost"]),
        st.sampled_from(WORKERS),
    ),
    max_size=30,
)


@given(NEWS)
def test_one_worker_has_an_attempt_and_it_ends_once(news: list[tuple[str, str]]) -> None:
    claims = Claims()
    claims.offer("a1", "run", "replies")
    holder: str | None = None  # the model: who has it, whether it has begun or ended
    begun = ended = lost = False
    for what, worker in news:
        free = holder is None and not ended
        if what == "claim":
            grant = claims.claim(Claim(attempt="a1", worker=worker))
            assert isinstance(grant, Grant)
            assert grant.granted is (not ended and holder in (None, worker))
            holder = worker if free else holder
            lost = lost and worker != holder
        elif what == "lost":
            doubtful = claims.lost(worker)
            newly = holder == worker and not ended and not lost
            assert [one.id for one in doubtful] == (["a1"] if newly else [])
            lost = lost or newly
        elif what == "give back":
            given = claims.claim(Claim(attempt="a1", worker=worker, give_back=True))
            returned = not ended and not begun and holder == worker
            assert isinstance(given, Attempt) is returned
            holder = None if returned else holder
            lost = lost and not returned
        else:
            id = None if worker == UNNAMED else "a1"
            told = claims.answer(Response(status=what), worker, id, "run", "replies")
            counts = not ended and holder in (None, worker) and not (what == "started" and begun)
            assert isinstance(told, Attempt) is counts
            if counts:
                holder, begun, ended, lost = worker, True, what != "started", False
        attempt = claims.attempts["a1"]
        assert (attempt.standing is Standing.ENDED) is ended
        if not ended:
            assert attempt.worker == holder
            assert (attempt.standing is Standing.STARTED) is begun
            assert attempt.is_lost is lost


def test_news_of_what_nobody_offered_changes_nothing() -> None:
    claims = Claims()
    claims.offer("a1", "run", "replies")
    stray = Response(status="failed")
    assert isinstance(claims.answer(stray, "anna", "a2", "run", "replies"), Ignored)
    assert isinstance(claims.answer(stray, "", None, "other run", "replies"), Ignored)
    denied = claims.claim(Claim(attempt="a2", worker="anna"))
    assert isinstance(denied, Grant)
    assert (denied.granted, denied.reason) == (False, "there is no such attempt")
    claims.forget("a1")
    assert isinstance(claims.answer(stray, "anna", "a1", "run", "replies"), Ignored)


def test_what_a_worker_holds_can_be_told_when_it_is_lost() -> None:
    claims = Claims()
    for id in ("a1", "a2", "a3"):
        claims.offer(id, id, "replies")
        claims.claim(Claim(attempt=id, worker="anna" if id != "a2" else "ben"))
    claims.answer(Response(status="completed"), "anna", "a3", "a3", "replies")
    assert [attempt.id for attempt in claims.held_by("anna")] == ["a1"]
