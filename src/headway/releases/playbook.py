"""A playbook as values: sequences of steps over hosts. Frozen, checked, and not yet a plan."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from headway.jobs.plan import GATE
from headway.releases.inputs import Input

PYTHON = "python"  # the key, and the command, of a step that names a Python job
GATE_STEP = f"{GATE}:Approve"  # at which a person is asked; it is sent to nobody
NAME_CHARACTERS = 200  # of a playbook's name, and of its group's


class StepRules(NamedTuple):
    """What a step says under the key ``job``. None: the step does not say."""

    check: "Step | None" = None  # sent in place of the step to learn whether it is done
    cleanup: "Step | None" = None  # sent when the host's chain ends, if the step ran
    tries: int | None = None  # 1 or more
    retry_delay_s: float | None = None  # 0 or more
    timeout_s: float | None = None  # more than 0
    on_lost: str | None = None  # one of ON_LOST


class Step(NamedTuple):
    """One step of a sequence, for one host at a time."""

    command: str
    subcommand: str
    parameters: Mapping[str, Any] = {}  # JSON values, without notify, dynamic and job
    notify: Mapping[str, Mapping[str, tuple[str, ...]]] = {}  # phase to transport to whom
    dynamic: tuple[str, ...] = ()  # names of inputs that it needs
    rules: StepRules = StepRules()
    python: str = ""  # "package.module:JobClass"; "" for a step that a worker does

    @property
    def name(self) -> str:
        return f"{self.command}:{self.subcommand}"


class HostSequence(NamedTuple):
    """Steps, and the hosts on which they are done."""

    description: str
    hosts: tuple[str, ...]  # one or more, none twice
    steps: tuple[Step, ...]  # one or more: each host's chain
    preflight: tuple[Step, ...] = ()  # on all hosts at once, before the first chain
    parallel: int = 1  # how many hosts' chains at once


class Playbook(NamedTuple):
    """Sequences, one after another."""

    group: str
    name: str
    execution: tuple[HostSequence, ...]  # one or more
    inputs: tuple[Input, ...] = ()
    lock: tuple[str, ...] = ()  # releases that share one of these wait for each other

    @property
    def dynamic(self) -> tuple[str, ...]:
        """The inputs that its steps, checks and cleanups name, each once, in their order."""
        found: dict[str, None] = {}
        for sequence in self.execution:
            for step in (*sequence.preflight, *sequence.steps):
                for one in (step, step.rules.check, step.rules.cleanup):
                    if one is not None:
                        found.update(dict.fromkeys(one.dynamic))
        return tuple(found)
