"""Compiles a playbook into a plan: plain edges, the same in every replay.

Checks that surround releases come first, one after another, and their actions last, however the
rest went. Within a sequence the preflight steps of all hosts go side by side; then each host's
steps are a chain, and the chains are dealt to as many lanes as the sequence has in parallel, in
the order of the hosts. What puts a step away follows its host's chain, before the lane's next
host. A sequence begins when the one before is over.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from headway.errors import DefinitionError
from headway.jobs.compiling import compile_jobs
from headway.jobs.job import Job, Rules
from headway.jobs.plan import GATE, Closing, Plan, Policy
from headway.releases.playbook import HostSequence, Playbook, Step
from headway.releases.steps import Call, StepNode
from headway.releases.surroundings import (
    NOTHING,
    PostDeployAction,
    PreDeployCheck,
    Surroundings,
    surrounded,
)

POLICY = Policy(default_tries=1, on_failure="stop", asks_all=True)


class HostedJob(NamedTuple):
    """A Python job as a step of one host's chain: makes its objects, which know the host."""

    job: type[Job]
    host: str
    name: str

    def __call__(self) -> Job:
        made = self.job()
        made.host = self.host
        return made


class CompiledPlaybook(NamedTuple):
    """A plan, and what its nodes were made from."""

    plan: Plan
    definitions: list[Any]  # by key: StepNode, HostedJob, or the class of a job that one needs
    looks: list[type[Job]]  # the distinct job classes among them


def compile_playbook(
    playbook: Playbook,
    job_called: Callable[[str], type[Job]],
    policy: Policy = POLICY,
    surroundings: Surroundings = NOTHING,
) -> CompiledPlaybook:
    """``job_called`` finds the job class that "package.module:JobClass" names.

    Raises: DefinitionError, as for jobs.
    """
    whole = surrounded(playbook, surroundings.triggers)
    return _Compiler(whole, job_called, policy).compiled(surroundings)


class _Compiler:
    def __init__(
        self, playbook: Playbook, job_called: Callable[[str], type[Job]], policy: Policy
    ) -> None:
        self._playbook = playbook
        self._job_called = job_called
        self._policy = policy
        self._names: list[str] = []
        self._used: dict[str, int] = {}  # name to how often
        self._definitions: list[Any] = []
        self._needs: list[tuple[int, ...]] = []
        self._rules: list[Rules] = []
        self._equal: dict[Rules, Rules] = {}
        self._closings: dict[int, Closing] = {}
        self._jobs: dict[Any, int] = {}  # what Python jobs need, by definition: once in a plan
        self._looks: list[type[Job]] = []

    def compiled(self, surroundings: Surroundings) -> CompiledPlaybook:
        before = self._checks(surroundings.checks)
        for sequence in self._playbook.execution:
            before = self._sequence(sequence, before)
        self._actions(surroundings.actions)
        plan = Plan(
            self._names,
            [_ref(one) for one in self._definitions],
            self._needs,
            self._rules,
            self._policy,
            self._closings,
        )
        return CompiledPlaybook(plan, self._definitions, self._looks)

    def _checks(self, checks: Sequence[PreDeployCheck]) -> tuple[int, ...]:
        """The key that the first sequence waits for."""
        before: tuple[int, ...] = ()
        for check in checks:
            # To ask again does no harm: who is asked says how things are.
            rules = self._rules_of(check.step, on_lost="rerun")
            call = _call(check.step)._replace(expected=check.expectation)
            before = (self._around("check", check.name, call, rules, before),)
        return before

    def _actions(self, actions: Sequence[PostDeployAction]) -> None:
        before: tuple[int, ...] = ()
        for action in actions:
            rules = self._rules_of(action.step)._replace(finally_=True, when=action.when)
            before = (self._around("action", action.name, _call(action.step), rules, before),)

    def _around(
        self, part: str, called: str, call: Call, rules: Rules, needs: tuple[int, ...]
    ) -> int:
        """A node for no host."""
        name = self._name(f"{part} {called}")
        node = StepNode(name, None, self._playbook.group, self._shared(rules), call, part=part)
        return self._add(name, node, rules, needs)

    def _sequence(self, sequence: HostSequence, before: tuple[int, ...]) -> tuple[int, ...]:
        """The keys that the next sequence waits for."""
        if sequence.preflight:
            ends = [self._chain(sequence.preflight, host, before) for host in sequence.hosts]
            before = tuple(key for end in ends for key in end)
        lanes = [before] * min(sequence.parallel, len(sequence.hosts))
        for place, host in enumerate(sequence.hosts):
            lane = place % len(lanes)
            lanes[lane] = self._chain(sequence.steps, host, lanes[lane])
        return tuple(key for lane in lanes for key in lane)

    def _chain(self, steps: Sequence[Step], host: str, before: tuple[int, ...]) -> tuple[int, ...]:
        first = len(self._names)
        cleaned: list[tuple[int, Step]] = []
        for step in steps:
            key = self._step(step, host, before)
            if step.rules.cleanup is not None:
                cleaned.append((key, step.rules.cleanup))
            before = (key,)
        last = len(self._names) - 1
        for key, cleanup in reversed(cleaned):
            # Last first: the schedule lets them go one after another, in the order of their keys.
            rules = self._rules_of(cleanup)._replace(finally_=True, on_lost="rerun")
            node = self._node(cleanup, host, rules, ())
            self._closings[node] = Closing(key, first, last)
            before = (*before, node)
        return before

    def _step(self, step: Step, host: str, before: tuple[int, ...]) -> int:
        if step.python:
            return self._python(step, host, before)
        rules = self._rules_of(step)
        if step.command == GATE:
            return self._gate(step, host, before)
        check = step.rules.check
        if check is not None:
            rules = rules._replace(has_check=True)
        return self._node(step, host, rules, before, check)

    def _rules_of(self, step: Step, on_lost: str = "ask") -> Rules:
        """``on_lost``: where the step does not say."""
        own, policy = step.rules, self._policy
        return Rules(
            tries=own.tries or policy.default_tries,
            retry_delay_s=(
                policy.default_retry_delay_s if own.retry_delay_s is None else own.retry_delay_s
            ),
            timeout_s=own.timeout_s,
            on_lost=own.on_lost or on_lost,
            has_check=False,
        )

    def _node(
        self,
        step: Step,
        host: str,
        rules: Rules,
        needs: tuple[int, ...],
        check: Step | None = None,
    ) -> int:
        name = self._name(f"{step.name}@{host}")
        node = StepNode(
            name,
            host,
            self._playbook.group,
            self._shared(rules),
            _call(step),
            None if check is None else _call(check),
        )
        return self._add(name, node, rules, needs)

    def _gate(self, step: Step, host: str, before: tuple[int, ...]) -> int:
        # Nothing is lost with a process that waited there: whoever takes the run up waits on.
        rules = self._rules_of(step)._replace(on_lost="rerun")
        name = self._name(f"{step.name}@{host}")
        group = self._playbook.group
        node = StepNode(name, host, group, self._shared(rules), _call(step), part=GATE)
        return self._add(name, node, rules, before)

    def _python(self, step: Step, host: str, before: tuple[int, ...]) -> int:
        compiled = compile_jobs(self._job_called(step.python), self._policy)
        plan, *_ = compiled
        self._looks += [look for look in compiled.looks if look not in self._looks]
        root = len(plan) - 1
        keys: dict[int, int] = {}
        for key, definition in enumerate(compiled.definitions):
            needs = tuple(keys[need] for need in plan.needs[key])
            if key == root:
                name = self._name(f"{plan.names[key]}@{host}")
                hosted = HostedJob(definition, host, name)
                return self._add(name, hosted, plan.rules[key], (*before, *needs))
            known = self._jobs.get(definition)
            if known is None:
                # What a job needs waits for what is before the job, as the job does.
                name = self._require_unique(plan.names[key], definition)
                known = self._add(name, definition, plan.rules[key], (*before, *needs))
                self._jobs[definition] = known
            keys[key] = known
        raise AssertionError("a plan has a root")

    def _add(self, name: str, definition: Any, rules: Rules, needs: tuple[int, ...]) -> int:
        self._names.append(name)
        self._definitions.append(definition)
        self._rules.append(self._shared(rules))
        self._needs.append(tuple(dict.fromkeys(needs)))
        return len(self._names) - 1

    def _shared(self, rules: Rules) -> Rules:
        return self._equal.setdefault(rules, rules)

    def _name(self, wanted: str) -> str:
        """A name of its own: the second of its kind is called #2."""
        count = self._used[wanted] = self._used.get(wanted, 0) + 1
        return wanted if count == 1 else f"{wanted}#{count}"

    def _require_unique(self, name: str, definition: Any) -> str:
        if name in self._used:
            raise DefinitionError(
                f"two jobs are called {name!r}, one of them from module"
                f" {definition.__module__}. Jobs are known by name: rename one."
            )
        return self._name(name)


def _call(step: Step) -> Call:
    return Call(step.command, step.subcommand, step.parameters, step.notify, step.dynamic)


def _ref(definition: Any) -> str:
    if isinstance(definition, HostedJob):
        definition = definition.job
    if isinstance(definition, type):
        return f"{definition.__module__}:{definition.__qualname__}"
    ref: str = definition.ref
    return ref
