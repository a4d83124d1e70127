"""Whatever surrounds a release is inserted where it belongs, and kept as it was read."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headway.releases.compiling import compile_playbook
from headway.releases.playbook import Step
from headway.releases.surroundings import Surroundings, Trigger, surrounded
from headway.releases.surroundings_reading import from_plain
from tests.properties.playbook_plans import no_jobs
from tests.properties.triggers import inserted, playbook_with, steps, triggers

TEXTS = st.text(min_size=1, max_size=9).filter(lambda text: text.strip() and "\0" not in text)
WORDS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,5}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
PARAMETER_NAMES = TEXTS.filter(
    lambda name: name not in ("command", "subcommand", "hosts", "notify", "dynamic", "job")
)
NOTIFY = st.dictionaries(
    st.sampled_from(["started", "completed", "failed"]),
    st.dictionaries(TEXTS, st.lists(TEXTS, max_size=2), min_size=1, max_size=2),
    min_size=1,
    max_size=2,
)
RULES = st.fixed_dictionaries(
    {},
    optional={
        "tries": st.integers(1, 3),
        "retry_delay": st.integers(0, 3),
        "timeout": st.integers(1, 3),
        "on_lost": st.sampled_from(["ask", "rerun", "fail"]),
    },
)


@st.composite
def parameters(draw: st.DrawFn, *, whole: bool = False) -> dict[str, Any]:
    found = draw(st.dictionaries(PARAMETER_NAMES, VALUES, max_size=2))
    if draw(st.booleans()):
        found["notify"] = draw(NOTIFY)
    if draw(st.booleans()):
        found["dynamic"] = draw(st.lists(TEXTS, max_size=2, unique=True))
    job = draw(RULES)
    if whole and draw(st.booleans()):
        name = f"{draw(WORDS)}:{draw(WORDS)}"
        job["check"] = draw(st.sampled_from([name, {name: draw(parameters())}]))
        if isinstance(job["check"], dict):
            job["check"][name].pop("job", None)
    if job:
        found["job"] = job
    return found


def step(*, whole: bool = False) -> dict[str, st.SearchStrategy[Any]]:
    return {"command": WORDS, "subcommand": WORDS, "parameters": parameters(whole=whole)}


def objects(must: dict[str, Any], **may: Any) -> Any:
    return st.fixed_dictionaries(must, optional=may)


def named(found: Any) -> Any:
    return st.lists(found, max_size=3, unique_by=lambda one: one["name"])


PLAIN = objects(
    {},
    step_triggers=st.lists(
        objects(
            {
                "description": TEXTS,
                "when": st.fixed_dictionaries({"next_command": WORDS})
                | st.fixed_dictionaries({"next_subcommand": WORDS}),
                **step(whole=True),
            }
        ),
        max_size=3,
    ),
    pre_deploy_check=named(
        objects(
            {
                "name": TEXTS,
                "expectation": st.dictionaries(
                    TEXTS.filter(lambda key: key != "status"), VALUES, min_size=1, max_size=2
                ),
                **step(),
            }
        )
    ),
    post_deploy_action=named(
        objects({"name": TEXTS, **step()}, when=st.sampled_from(["always", "completed", "failed"]))
    ),
    phase_notification=objects(
        {
            "topic": TEXTS,
            "target": st.lists(TEXTS, min_size=1, max_size=2, unique=True),
            "url": TEXTS.map(lambda text: text.replace("%", "") + "/%s"),
        }
    ),
)


@given(PLAIN)
def test_surroundings_are_kept_as_they_were_read(plain: dict[str, Any]) -> None:
    found = from_plain(plain, "it")
    assert from_plain(found.to_plain(), "again") == found
    assert from_plain(found.to_plain(), "again").to_plain() == found.to_plain()


@given(st.lists(steps, min_size=1, max_size=5), st.lists(triggers, max_size=5))
def test_triggers_insert_as_in_the_release_engine(some: list[Step], them: list[Trigger]) -> None:
    playbook = playbook_with("noop:It")
    sequence = playbook.execution[0]._replace(steps=tuple(some))
    playbook = playbook._replace(execution=(sequence,))
    wanted = inserted(some, them)
    assert list(surrounded(playbook, them).execution[0].steps) == wanted

    compiled = compile_playbook(playbook, no_jobs, surroundings=Surroundings(tuple(them)))
    names = [f"{one.name}@{host}" for host in sequence.hosts for one in wanted]
    assert [name.partition("#")[0] for name in compiled.plan.names] == names
