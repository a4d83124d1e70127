"""Compiles job classes into a plan, and finds what is wrong with them before anything is done."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from headway.errors import DefinitionError
from headway.jobs.job import Job, Rules, kind_of
from headway.jobs.plan import Plan, Policy, ref_of

BACKOFFS = ("fixed", "exponential")
ON_FAILURE = ("go on", "stop")
ON_LOST = ("ask", "rerun", "fail")
_POLICY_NAMES = frozenset(
    "TRIES RETRY_DELAY TIMEOUT BACKOFF RETRY_ON ON_LOST TAGS QUEUE Check Run Cleanup".split()
)


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
        _require_queue(name, cls.QUEUE)
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
    return f"a step ({ref_of(item)})"


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


def _require_queue(name: str, value: Any) -> None:
    if value is not None and (not isinstance(value, str) or not value):
        raise DefinitionError(f"{name}.QUEUE is {value!r}: it must be the name of a Celery queue")


def _tags(name: str, value: Any) -> tuple[str, ...]:
    tags = None if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    if tags is None or not all(isinstance(tag, str) for tag in tags):
        raise DefinitionError(f"{name}.TAGS is {value!r}: it must be a tuple of texts")
    return tuple(dict.fromkeys(tags))
