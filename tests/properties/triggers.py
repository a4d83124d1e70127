"""Playbooks and triggers, and how the release engine inserted the ones into the others."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from headway.releases.document import Document, Located
from headway.releases.playbook import Playbook, Step
from headway.releases.reading import playbook_of
from headway.releases.surroundings import Trigger

WORDS = st.sampled_from(["noop", "app", "pool"])
SUBWORDS = st.sampled_from(["Go", "Stop", "go"])


def playbook_with(*steps: Any, **sequence: Any) -> Playbook:
    one = {"hosts": ["a", "b"], "steps": list(steps), **sequence}
    plain = {"group": "orchard", "name": "Pick", "execution": [one]}
    return playbook_of(Document("pick.yaml", Located.of(plain)))


steps = st.tuples(WORDS, SUBWORDS).map(lambda words: Step(*words))
_inserts = st.tuples(WORDS, SUBWORDS, st.integers(0, 9)).map(
    lambda words: Step(words[0], words[1], {"by": words[2]})
)
_next = st.tuples(st.just("") | WORDS, st.just("") | SUBWORDS).filter(any)
triggers = st.tuples(_next, _inserts).map(lambda one: Trigger("it", one[0][0], one[0][1], one[1]))


def inserted(steps: Sequence[Step], triggers: Sequence[Trigger]) -> list[Step]:
    """One by one, as somebody would with a pencil."""
    found = list(steps)
    for trigger in triggers:
        place = 0
        while place < len(found):
            step = found[place]
            wanted = True
            if trigger.next_command and step.command != trigger.next_command:
                wanted = False
            if trigger.next_subcommand and step.subcommand != trigger.next_subcommand:
                wanted = False
            if wanted:
                found.insert(place, trigger.step)
                place += 1
            place += 1
    return found
