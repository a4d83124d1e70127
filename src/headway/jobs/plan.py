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
from headway.jobs.job import Job, NodeSpec, Rules, kind_of

FORMAT = 1
BACKOFFS = ("fixed", "exponential")
ON_FAILURE = ("go on", "stop")
ON_LOST = ("ask", "rerun", "fail")
_POLICY_NAMES = frozenset(
    "TRIES RETRY_DELAY TIMEOUT BACKOFF RETRY_ON ON_LOST TAGS Check Run Cleanup".split()
)


class Policy(NamedTuple):
    """What differs between notations is here, as data."""

    default_tries: int = 3
    default_retry_delay_s: float = 1.0
    on_failure: str = "go on"  # with what is still reachable; or "stop": start nothing new
    limits: Mapping[str, int] = {}  # tag to the number of jobs with it that may run at once


class Plan:
    """Jobs and what they need, as data."""

    __slots__ = ("_definitions", "names", "needs", "policy", "rules")

    def __init__(
        self,
        names: Sequence[str],
        definitions: Sequence[Any],
        needs: Sequence[tuple[int, ...]],
        rules: Sequence[Rules],
        policy: Policy,
    ) -> None:
        """``definitions``: by key, each job's own, or the text that says where to find it."""
        self.names = names  # by key
        self._definitions = definitions
        self.needs = needs  # by key: the keys it needs, in DEPS order, none twice
        self.rules = rules  # by key; equal rules are one object
        self.policy = policy

    def __len__(self) -> int:
        return len(self.names)

    @property
    def refs(self) -> list[str]:
        """By key: "module:Qualified.Name", where the job's definition can be found."""
        return [d if isinstance(d, str) else _ref(d) for d in self._definitions]

    @classmethod
    def of(cls, root: Any, policy: Policy | None = None) -> "Plan":
        """The plan of a root job and all that it needs.

        Raises: DefinitionError naming the class, the attribute and the remedy.
        """
        return compile_jobs(root, policy).plan

    def key_of(self, name: str) -> int:
        """The key of the job called so. Raises: DefinitionError naming those nearest to it."""
        try:
            return self.names.index(name)
        except ValueError:
            raise DefinitionError(_unknown_job(name, self.names)) from None

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
        return json.dumps(
            {
                "format": FORMAT,
                "policy": self.policy._asdict(),
                "rules": [rules._asdict() for rules in numbers],
                "names": self.names,
                "refs": self.refs,
                "needs": self.needs,
                "rules_of": of,
            },
            separators=(",", ":"),
        )

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


class Compiled(NamedTuple):
    """A plan, and the definitions it was made from."""

    plan: Plan
    definitions: list[Any]  # by key
    looks: list[type[Job]]  # job classes, one for each distinct set of methods and rules


def compile_jobs(root: Any, policy: Policy | None = None) -> Compiled:
    """Compile a root job and all that it needs.

    Without recursion, and linear in jobs plus needs.
    Raises: DefinitionError.
    """
    policy = policy or Policy()
    _require_sound(policy)
    rules_of = _RulesOf(policy)
    names: list[str] = []
    needs: list[tuple[int, ...]] = []
    rules: list[Rules] = []
    definitions: list[Any] = []
    keys: dict[Any, int] = {}  # definition to key; -1 while what it needs is being compiled
    opened: list[tuple[Any, tuple[Any, ...], str, Rules]] = []
    stack: list[Any] = [root]
    closing = object()  # on the stack it means: all that the last opened one needs is compiled
    while stack:
        item = stack.pop()
        if item is closing:
            item, deps, name, rule = opened.pop()
        else:
            try:
                known = keys.get(item)
            except TypeError:  # cannot be hashed: a list within DEPS
                raise DefinitionError(_no_job(item, opened[-1][2] if opened else None)) from None
            if known is not None:
                if known < 0:
                    raise DefinitionError(_cycle(item, [entry[0] for entry in opened]))
                continue
            if isinstance(item, type) and issubclass(item, Job):
                own = item.__dict__
                name = item.__name__
                wanted = own["DEPS"] if "DEPS" in own else item.DEPS
                rule = rules_of.job(item, own)
            elif hasattr(item, "plan_node") and not isinstance(item, type):
                name, _, wanted, rule = item.plan_node()
            else:
                raise DefinitionError(_no_job(item, opened[-1][2] if opened else None))
            kind = type(wanted)
            deps = tuple(wanted) if kind is tuple or kind is list else _deps(item, wanted)
            if deps:
                keys[item] = -1
                opened.append((item, deps, name, rule))
                stack.append(closing)
                stack += deps[::-1]
                continue
        keys[item] = len(names)
        names.append(name)
        rules.append(rule)
        definitions.append(item)
        if len(deps) > 1:
            deps = tuple(dict.fromkeys(deps))
        needs.append(tuple([keys[dep] for dep in deps]) if deps else ())
    if len(set(names)) < len(names):
        raise DefinitionError(_collision(names, definitions))
    plan = Plan(names, definitions, needs, rules, policy)
    return Compiled(plan, definitions, rules_of.looks)


def _require_sound(policy: Policy) -> None:
    _require_count("default_tries", policy.default_tries)
    _require_delay("default_retry_delay", policy.default_retry_delay_s)
    _require_one_of("on_failure", policy.on_failure, ON_FAILURE)
    for tag, limit in policy.limits.items():
        _require_count(f"the limit of the tag {tag!r}", limit)


def _no_job(item: Any, needed_by: str | None) -> str:
    if needed_by is None:
        return f"{_shown(item)} is not a job: give a subclass of headway.Job"
    return (
        f"{needed_by}.DEPS holds {_shown(item)}, which is not a job:"
        " list job classes only (the class itself, not an object of it)"
    )


def _ref(definition: Any) -> str:
    if isinstance(definition, type):
        return f"{definition.__module__}:{definition.__qualname__}"
    spec: NodeSpec = definition.plan_node()
    return spec.ref


class _RulesOf:
    """The rules of job classes, each distinct look worked out and checked once."""

    def __init__(self, policy: Policy) -> None:
        self.looks: list[type[Job]] = []
        self._policy = policy
        self._by_class: dict[type, Rules] = {}
        self._equal: dict[Rules, Rules] = {}

    def job(self, cls: type[Job], own: Mapping[str, Any]) -> Rules:
        if _POLICY_NAMES.isdisjoint(own) and len(cls.__bases__) == 1:
            # A class that only sets names of its own is treated like the class it is made from.
            found = self._by_class.get(cls.__bases__[0])
            if found is not None:
                return found
        found = self._worked_out(cls)
        found = self._equal.setdefault(found, found)
        self.looks.append(cls)
        if _POLICY_NAMES.isdisjoint(own) and len(cls.__bases__) == 1:
            self._by_class[cls.__bases__[0]] = found
        else:
            self._by_class[cls] = found
        return found

    def _worked_out(self, cls: type[Job]) -> Rules:
        name = cls.__name__
        kind = kind_of(cls)
        tries = self._policy.default_tries if cls.TRIES is None else cls.TRIES
        delay = self._policy.default_retry_delay_s if cls.RETRY_DELAY is None else cls.RETRY_DELAY
        _require_count(f"{name}.TRIES", tries)
        _require_delay(f"{name}.RETRY_DELAY", delay)
        if cls.TIMEOUT is not None and not (
            _is_number(cls.TIMEOUT) and 0 < cls.TIMEOUT < float("inf")
        ):
            raise DefinitionError(
                f"{name}.TIMEOUT is {cls.TIMEOUT!r}: it must be a number of seconds above 0,"
                " or None for no bound"
            )
        _require_one_of(f"{name}.BACKOFF", cls.BACKOFF, BACKOFFS)
        _require_one_of(f"{name}.ON_LOST", cls.ON_LOST, ON_LOST)
        _require_exceptions(name, cls.RETRY_ON)
        has_check = kind != "runonly"
        has_run = kind != "dummy" and hasattr(cls, "Run")
        if has_check and not hasattr(cls, "Check"):
            raise DefinitionError(
                f"{name} has no Check: give it one, or derive it from RunonlyJob (no check,"
                " runs every time) or DummyJob (only groups other jobs)"
            )
        if kind == "runonly" and not has_run:
            raise DefinitionError(f"{name} is a RunonlyJob without a Run: give it one")
        for phase in ("Check", "Run", "Cleanup", "Diff"):
            if not callable(getattr(cls, phase, len)):
                raise DefinitionError(f"{name}.{phase} is not a method: define it with def")
        return Rules(
            tries=tries,
            retry_delay_s=delay,
            timeout_s=cls.TIMEOUT,
            backoff=cls.BACKOFF,
            on_lost=cls.ON_LOST,
            tags=_tags(name, cls.TAGS),
            has_check=has_check,
            has_run=has_run,
            has_cleanup=kind != "dummy" and hasattr(cls, "Cleanup"),
        )


def _deps(item: Any, wanted: Any) -> tuple[Any, ...]:
    """The items of a DEPS that is neither a list nor a tuple, or is empty."""
    name = getattr(item, "__name__", str(item))
    if isinstance(wanted, type):
        raise DefinitionError(
            f"{name}.DEPS is the class {wanted.__name__} itself: write DEPS = ({wanted.__name__},)"
            " with a comma"
        )
    if isinstance(wanted, str):
        raise DefinitionError(f"{name}.DEPS is the text {wanted!r}: list job classes, not names")
    try:
        deps = tuple(wanted)
    except TypeError:
        raise DefinitionError(
            f"{name}.DEPS is {_shown(wanted)}, which cannot be iterated:"
            " write a tuple or list of job classes"
        ) from None
    if iter(wanted) is wanted:
        # The next plan made of the same class would find it empty.
        raise DefinitionError(
            f"{name}.DEPS is {_shown(wanted)}, which can be walked through only once:"
            " write a tuple or list of job classes"
        )
    if isinstance(wanted, (set, frozenset)):
        # A set has no order of its own; the same plan must come out every time.
        deps = tuple(sorted(deps, key=lambda dep: getattr(dep, "__name__", str(dep))))
    return deps


def _cycle(item: Any, path: list[Any]) -> str:
    names = [getattr(entry, "__name__", str(entry)) for entry in path[path.index(item) :]]
    return (
        f"the jobs need each other in a circle: {' -> '.join([*names, names[0]])}."
        " Take one of these out of the DEPS before it."
    )


def _collision(names: list[str], definitions: list[Any]) -> str:
    first: dict[str, Any] = {}
    for name, definition in zip(names, definitions, strict=True):
        other = first.setdefault(name, definition)
        if other is not definition:
            break
    return (
        f"two jobs are called {name!r}: one from {_origin(other)}, one from {_origin(definition)}."
        " Jobs are known by name: rename one."
    )


def _origin(item: Any) -> str:
    if isinstance(item, type):
        return f"module {item.__module__} ({item.__qualname__})"
    return f"a step ({_ref(item)})"


def _shown(value: Any) -> str:
    text = value.__name__ if isinstance(value, type) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def _require_count(where: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DefinitionError(f"{where} is {value!r}: it must be a whole number of 1 or more")


def _require_delay(where: str, value: Any) -> None:
    if not _is_number(value) or not 0 <= value < float("inf"):
        raise DefinitionError(f"{where} is {value!r}: it must be a number of seconds, 0 or more")


def _require_one_of(where: str, value: Any, allowed: Sequence[str]) -> None:
    if value not in allowed:
        choices = " or ".join(repr(choice) for choice in allowed)
        raise DefinitionError(f"{where} is {value!r}: it must be {choices}")


def _require_exceptions(name: str, value: Any) -> None:
    classes = value if isinstance(value, tuple) else (value,)
    if value is not None and not all(
        isinstance(c, type) and issubclass(c, BaseException) for c in classes
    ):
        raise DefinitionError(
            f"{name}.RETRY_ON is {value!r}: it must be an exception class or a tuple of them"
        )


def _tags(name: str, value: Any) -> tuple[str, ...]:
    tags = None if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    if tags is None or not all(isinstance(tag, str) for tag in tags):
        raise DefinitionError(f"{name}.TAGS is {value!r}: it must be a tuple of texts")
    return tuple(dict.fromkeys(tags))
