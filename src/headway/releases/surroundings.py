"""What surrounds every release: triggers, checks before it, actions after it, notices of it.

The same for all playbooks, and not written in any: whoever operates releases says it once. As
plain JSON it is what people write, with small keys, so that a run keeps what surrounded it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from headway.errors import DefinitionError
from headway.jobs.events import PhaseNoticeIntended
from headway.jobs.job import ALWAYS
from headway.jobs.states import RunState
from headway.releases.playbook import HostSequence, Playbook, Step
from headway.wire.messages import PHASES, SLUG_LONGEST, Notification

MOST_STEPS = 10_000  # of a sequence, what triggers insert counted in
ID_PLACE = "%s"  # in a notice's URL: where the run's id goes


class Trigger(NamedTuple):
    """A step that is inserted before every step of some name."""

    description: str
    next_command: str  # "": any; not both
    next_subcommand: str
    step: Step

    def is_for(self, step: Step) -> bool:
        return self.next_command in ("", step.command) and self.next_subcommand in (
            "",
            step.subcommand,
        )


class PreDeployCheck(NamedTuple):
    """A question that a worker is asked before a release, and what its answer must hold."""

    name: str
    step: Step
    expectation: Mapping[str, Any]


class PostDeployAction(NamedTuple):
    """A step that is done when a release is over."""

    name: str
    step: Step
    when: str = ALWAYS  # one of jobs.job.WHEN


class PhaseNotice(NamedTuple):
    """Who is told that a release has started, was completed or has failed."""

    topic: str  # the routing key
    target: tuple[str, ...]
    url: str  # of a page about the release, with one ID_PLACE

    def of(self, run: str, name: str, state: RunState, at_us: int) -> PhaseNoticeIntended | None:
        """The notice that the run called ``name`` stands so; None where nobody is told of that."""
        word = NOTICE_OF.get(state)
        if word is None:
            return None
        text = f"Release {run} {word}: {name}. {self.url.replace(ID_PLACE, run)}"
        return PhaseNoticeIntended(at_us, word, self.topic, self.target, text)


# Where a run stands, and the word for it in notices of the whole release.
NOTICE_OF = {
    RunState.RUNNING: "started",
    RunState.SUCCEEDED: "completed",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "cancelled",
}


def notification_of(notice: PhaseNoticeIntended) -> Notification:
    """What is published of a notice. The wire has no phase of its own for what was cancelled."""
    return Notification(
        slug=notice.text[:SLUG_LONGEST],
        message=notice.text,
        phase=notice.notice if notice.notice in PHASES else "failed",
        target=list(notice.targets),
    )


class Surroundings(NamedTuple):
    """All that surrounds a release."""

    triggers: tuple[Trigger, ...] = ()  # each sees what those before it have inserted
    checks: tuple[PreDeployCheck, ...] = ()  # one after another
    actions: tuple[PostDeployAction, ...] = ()  # one after another
    phase_notice: PhaseNotice | None = None

    @property
    def dynamic(self) -> tuple[str, ...]:
        """The inputs that checks and actions name, each once, in their order."""
        steps = [check.step for check in self.checks] + [action.step for action in self.actions]
        return tuple(dict.fromkeys(name for step in steps for name in step.dynamic))

    def asked_of(self, playbook: Playbook) -> tuple[str, ...]:
        """The inputs that a playbook's steps name with all that surrounds it, each once."""
        whole = surrounded(playbook, self.triggers)
        return tuple(dict.fromkeys((*whole.dynamic, *self.dynamic)))

    def to_plain(self) -> dict[str, Any]:
        """As JSON holds it: what ``surroundings_of`` reads back."""
        found: dict[str, Any] = {}
        if self.triggers:
            found["step_triggers"] = [_plain_trigger(one) for one in self.triggers]
        if self.checks:
            found["pre_deploy_check"] = [
                {"name": one.name, **_plain_step(one.step), "expectation": one.expectation}
                for one in self.checks
            ]
        if self.actions:
            found["post_deploy_action"] = [_plain_action(one) for one in self.actions]
        if self.phase_notice is not None:
            notice = self.phase_notice
            found["phase_notification"] = {**notice._asdict(), "target": list(notice.target)}
        return found


NOTHING = Surroundings()


def surrounded(playbook: Playbook, triggers: Sequence[Trigger]) -> Playbook:
    """The playbook with what triggers insert. Raises: DefinitionError when that is too much."""
    if not triggers:
        return playbook
    execution = tuple(_with_triggers(one, triggers) for one in playbook.execution)
    return playbook._replace(execution=execution)


def _with_triggers(sequence: HostSequence, triggers: Iterable[Trigger]) -> HostSequence:
    steps: Sequence[Step] = sequence.steps
    for trigger in triggers:
        steps = [
            one
            for step in steps
            for one in ((trigger.step, step) if trigger.is_for(step) else (step,))
        ]
        if len(steps) > MOST_STEPS:  # each may double them
            raise DefinitionError(
                f"trigger {trigger.description!r} brings a sequence to {len(steps):,} steps, and"
                f" {MOST_STEPS:,} is the most: let it match less, or make several playbooks"
            )
    return sequence._replace(steps=tuple(steps))


def _plain_trigger(trigger: Trigger) -> dict[str, Any]:
    when = {"next_command": trigger.next_command, "next_subcommand": trigger.next_subcommand}
    return {
        "description": trigger.description,
        "when": {key: value for key, value in when.items() if value},
        **_plain_step(trigger.step),
    }


def _plain_action(action: PostDeployAction) -> dict[str, Any]:
    when = {} if action.when == ALWAYS else {"when": action.when}
    return {"name": action.name, **_plain_step(action.step), **when}


def _plain_step(step: Step) -> dict[str, Any]:
    return {
        "command": step.command,
        "subcommand": step.subcommand,
        "parameters": _plain_parameters(step),
    }


def _plain_parameters(step: Step) -> dict[str, Any]:
    """With what a step keeps from them."""
    found = dict(step.parameters)
    if step.notify:
        found["notify"] = {
            phase: {transport: list(targets) for transport, targets in told.items()}
            for phase, told in step.notify.items()
        }
    if step.dynamic:
        found["dynamic"] = list(step.dynamic)
    own = step.rules
    job: dict[str, Any] = {
        key: {part.name: _plain_parameters(part)}
        for key, part in (("check", own.check), ("cleanup", own.cleanup))
        if part is not None
    }
    said: dict[str, Any] = {
        "tries": own.tries,
        "retry_delay": own.retry_delay_s,
        "timeout": own.timeout_s,
        "on_lost": own.on_lost,
    }
    job |= {key: value for key, value in said.items() if value is not None}
    return found | ({"job": job} if job else {})
