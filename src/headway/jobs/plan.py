"""A plan: jobs and what they need, compiled, data only.

The nodes of a plan are numbered in depth-first post-order of DEPS, so a node's number (its
*key*) is also its place in the order of a run with one slot, and what a node needs always has
a smaller key. A plan is held in columns, not in objects: it stays small at 100,000 jobs.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from headway.errors import DefinitionError, WireError
from headway.jobs.job import NodeSpec, Rules

FORMAT = 1
STEPS = ("step", "check", "action")  # what the ref of a step begins with, in place of a module
GATE = "gate"  # and that of a gate, at which a person is asked
SHOWN = 20  # differences, in one message


class Policy(NamedTuple):
    """What differs between notations is here, as data."""

    default_tries: int = 3
    default_retry_delay_s: float = 1.0
    on_failure: str = "go on"  # with what is still reachable; or "stop": start nothing new
    limits: Mapping[str, int] = {}  # tag to the number of jobs with it that may run at once
    # Whether a plan asks every Check, also where what it needs is not done: in a playbook that is
    # only what comes before it.
    asks_all: bool = False


class Closing(NamedTuple):
    """What a node is for that puts away what another left: it starts when a chain is over.

    The chain is over when all its nodes ended, or none runs, none is in doubt and none is going
    to start because the plan was stopped. Such nodes are marked ``finally_``, and their plan stops
    on failure: theirs, too.
    """

    of: int  # the key of the node whose doing it puts away; if that did nothing, nothing is due
    first: int  # of the chain's keys, which are consecutive
    last: int


class Plan:
    """Jobs and what they need, as data."""

    __slots__ = ("_definitions", "closings", "names", "needs", "policy", "rules")

    def __init__(
        self,
        names: Sequence[str],
        definitions: Sequence[Any],
        needs: Sequence[tuple[int, ...]],
        rules: Sequence[Rules],
        policy: Policy,
        closings: Mapping[int, Closing] | None = None,
    ) -> None:
        """``definitions``: by key, each job's own, or the text that says where to find it."""
        self.names = names  # by key
        self._definitions = definitions
        self.needs = needs  # by key: the keys it needs, in DEPS order, none twice
        self.rules = rules  # by key; equal rules are one object
        self.policy = policy
        self.closings = closings or {}  # by the key of the node that puts away

    def __len__(self) -> int:
        return len(self.names)

    @property
    def refs(self) -> list[str]:
        """By key: "module:Qualified.Name", where the job's definition can be found."""
        return [d if isinstance(d, str) else ref_of(d) for d in self._definitions]

    @classmethod
    def of(cls, root: Any, policy: Policy | None = None) -> "Plan":
        """The plan of a root job and all that it needs.

        Raises: DefinitionError naming the class, the attribute and the remedy.
        """
        from headway.jobs.compiling import compile_jobs

        return compile_jobs(root, policy).plan

    def key_of(self, name: str) -> int:
        """The key of the job called so. Raises: DefinitionError naming those nearest to it."""
        try:
            return self.names.index(name)
        except ValueError:
            raise DefinitionError(_unknown_job(name, self.names)) from None

    def stops_at(self, key: int) -> bool:
        """Whether nothing new starts once this one is lost, if the plan's policy says so."""
        return not self.rules[key].finally_ or key in self.closings

    def is_step(self, key: int) -> bool:
        """Whether a worker does it; and not a job, here."""
        definition = self._definitions[key]
        ref = definition if isinstance(definition, str) else ref_of(definition)
        return ref.partition(":")[0] in STEPS

    def is_gate(self, key: int) -> bool:
        """Whether nobody does anything for it but a person, who answers."""
        definition = self._definitions[key]
        return isinstance(definition, str) and definition.startswith(f"{GATE}:")

    @property
    def gates(self) -> frozenset[int]:
        """The keys of its gates."""
        mark = f"{GATE}:"
        definitions = enumerate(self._definitions)
        return frozenset(
            key for key, one in definitions if isinstance(one, str) and one.startswith(mark)
        )

    @property
    def lasts(self) -> list[int]:
        """The keys of what comes when all the rest is over, and puts nothing away."""
        return [key for key in range(len(self)) if not self.stops_at(key)]

    def follows(self) -> list[tuple[int, ...]]:
        """By key: after what it comes, for a picture.

        That is what it needs; for what puts away, its chain, and for what comes last, the ends of
        all the rest; without what follows from that.
        """
        found: list[tuple[int, ...]] = []
        ends: dict[tuple[int, int], int] = {}  # of chains: the last node so far
        for key, needs in enumerate(self.needs):
            closing = self.closings.get(key)
            if closing is not None:
                chain = closing.first, closing.last
                needs = (ends.get(chain, closing.last),)
                ends[chain] = key
            elif self.closings:
                known = {
                    before for need in needs if need in self.closings for before in found[need]
                }
                needs = tuple(need for need in needs if need not in known)
            found.append(needs)
        self._let_follow_all(found)
        return found

    def _let_follow_all(self, follows: list[tuple[int, ...]]) -> None:
        """What comes last, and needs nothing, follows whatever nothing else follows."""
        lasts = set(self.lasts)
        if not lasts:
            return
        followed = {
            before for key in range(len(self)) if key not in lasts for before in follows[key]
        }
        ends = [key for key in range(len(self)) if key not in lasts and key not in followed]
        for key in lasts:
            follows[key] = follows[key] or tuple(end for end in ends if end < key)

    def dependents(self) -> list[list[int] | None]:
        """By key: the keys that need it, or None."""
        found: list[list[int] | None] = [None] * len(self.names)
        for key, needs in enumerate(self.needs):
            for need in needs:
                known = found[need]
                if known is None:
                    found[need] = [key]
                else:
                    known.append(key)
        return found

    def below(self, key: int) -> "frozenset[int]":
        """The key and all that it needs, near and far."""
        seen = {key}
        stack = [key]
        while stack:
            for need in self.needs[stack.pop()]:
                if need not in seen:
                    seen.add(need)
                    stack.append(need)
        return frozenset(seen)

    def above(self, key: int) -> "frozenset[int]":
        """The key and all that need it, near and far."""
        seen = {key}
        for other in range(key + 1, len(self.names)):
            if not seen.isdisjoint(self.needs[other]):
                seen.add(other)
        return frozenset(seen)

    def fingerprint(self) -> str:
        """Equal for plans with the same jobs, needs and rules, and only for these."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        numbers: dict[Rules, int] = {}
        by_id: dict[int, int] = {}  # to hash each object once
        of: list[int] = []
        for rules in self.rules:
            number = by_id.get(id(rules))
            if number is None:
                number = by_id[id(rules)] = numbers.setdefault(rules, len(numbers))
            of.append(number)
        plain = {
            "format": FORMAT,
            "policy": self.policy._asdict(),
            "rules": [rules._asdict() for rules in numbers],
            "names": self.names,
            "refs": self.refs,
            "needs": self.needs,
            "rules_of": of,
        }
        if self.closings:
            plain["closings"] = [[key, *closing] for key, closing in self.closings.items()]
        return json.dumps(plain, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read back what ``to_json`` wrote. Raises: WireError for a newer format."""
        data = json.loads(text)
        if data["format"] > FORMAT:
            raise WireError(
                f"a plan of format {data['format']} was written by a newer Headway;"
                f" this one reads up to {FORMAT}: upgrade it"
            )
        distinct = [Rules(**{**r, "tags": tuple(r["tags"])}) for r in data["rules"]]
        return cls(
            data["names"],
            data["refs"],
            [tuple(needs) for needs in data["needs"]],
            [distinct[number] for number in data["rules_of"]],
            Policy(**data["policy"]),
            {key: Closing(*rest) for key, *rest in data.get("closings", ())},
        )

    def difference(self, other: "Plan") -> list[str]:
        """In words, what another plan has otherwise; empty when they are the same."""
        mine = self._by_name()
        theirs = other._by_name()
        words = [f"{name} is new" for name in theirs if name not in mine]
        words += [f"{name} is gone" for name in mine if name not in theirs]
        for name, (needs, rules) in mine.items():
            if name not in theirs:
                continue
            new_needs, new_rules = theirs[name]
            if new_needs != needs:
                words.append(f"{name} needs {_listed(new_needs)} instead of {_listed(needs)}")
            words += [
                f"{name}: {field.rstrip('_')} is {new!r} instead of {old!r}"
                for field, old, new in zip(Rules._fields, rules, new_rules, strict=True)
                if old != new
            ]
        if not words and self.to_json() != other.to_json():
            words.append("the order of the jobs or the plan's policy is another")
        return words

    def require_same(self, other: "Plan", target: str, run: str) -> None:
        """Raises: DefinitionError that tells what another plan of the run has otherwise."""
        differences = self.difference(other)
        if differences:
            listed = "\n  ".join(differences[:SHOWN])
            raise DefinitionError(
                f"the plan of {target} is no longer that of run {run}:\n  {listed}\n"
                "Undo that to go on with this run, or start a new one."
            )

    def _by_name(self) -> dict[str, tuple[tuple[str, ...], Rules]]:
        names = self.names
        return {
            name: (tuple(names[n] for n in self.needs[key]), self.rules[key])
            for key, name in enumerate(names)
        }


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing"


def _unknown_job(name: str, names: Sequence[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else "headway graph lists the jobs."
    return f"there is no job called {name!r} in this plan. {hint}"


def ref_of(definition: Any) -> str:
    if isinstance(definition, type):
        return f"{definition.__module__}:{definition.__qualname__}"
    spec: NodeSpec = definition.plan_node()
    return spec.ref
