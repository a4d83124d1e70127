"""Steps as nodes of a plan: what is sent to which workers, as data."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from headway.errors import DefinitionError, WireError
from headway.jobs.job import DummyJob, NodeSpec, Rules
from headway.jobs.plan import GATE
from headway.wire.messages import Response, StepMessage
from headway.wire.names import parse_step

NOTHING: Mapping[str, Any] = {}
SHOWN = 200  # characters of what was answered, and of what was expected, in words


class Call(NamedTuple):
    """One message to whoever serves a command."""

    command: str
    subcommand: str
    parameters: Mapping[str, Any] = NOTHING  # without command, subcommand and hosts
    notify: Mapping[str, Mapping[str, tuple[str, ...]]] = NOTHING  # notice to transport to targets
    dynamic: tuple[str, ...] = ()  # names of values given for the run that it asks for
    expected: Mapping[str, Any] | None = None  # what the answer must hold, if it must

    @property
    def name(self) -> str:
        return f"{self.command}:{self.subcommand}"

    def message(self, host: str | None, group: str, dynamic: Mapping[str, Any]) -> StepMessage:
        """What is published, for one host; ``dynamic``: the values given for the run."""
        own = {
            "command": self.command,
            "subcommand": self.subcommand,
            "hosts": [] if host is None else [host],
        }
        if self.dynamic:
            own["dynamic"] = list(self.dynamic)
        return StepMessage(
            parameters={**self.parameters, **own},
            group=group,
            dynamic=dict(dynamic),
            notify={
                notice: {transport: list(targets) for transport, targets in told.items()}
                for notice, told in self.notify.items()
            },
        )

    def flaw(self, answer: Response) -> str | None:
        """Why a final answer is no success; None if it is one."""
        expected = {} if self.expected is None else self.expected
        wanted = {"status": "completed", **expected}
        if answer.status != wanted["status"] and answer.status == "failed":
            return said(answer) or f"{self.name} failed and did not say why"
        unmet = unmet_in(answer.to_plain(), wanted)
        return None if unmet is None else f"{self.name} was not answered as expected: {unmet}"


class StepNode(NamedTuple):
    """A step for one host, as a node."""

    name: str
    host: str | None
    group: str
    rules: Rules
    run: Call
    check: Call | None = None
    cleanup: Call | None = None  # of a step that a job needs; a playbook's are nodes of their own
    needs: tuple[Any, ...] = ()
    part: str = "step"  # or "gate"; or "check", "action": of a release, before and after its steps

    def plan_node(self) -> NodeSpec:
        return NodeSpec(self.name, self.ref, self.needs, self.rules)

    @property
    def ref(self) -> str:
        return f"{self.part}:{self.run.name}"

    @property
    def calls(self) -> Iterable[Call]:
        """All that it may send."""
        if self.is_gate:
            return []
        return [call for call in (self.check, self.run, self.cleanup) if call is not None]

    @property
    def is_gate(self) -> bool:
        """Whether a person is asked, and no worker."""
        return self.part == GATE

    def __hash__(self) -> int:
        return hash((self.name, self.host, self.run.name))


def said(answer: Response) -> str:
    """What an answer says in words: of ``message`` and ``data``, both are in use for that."""
    plain = answer.to_plain()
    found = [plain[key] for key in ("message", "data") if plain.get(key) not in (None, "")]
    return " ".join(value if isinstance(value, str) else repr(value) for value in found)


def unmet_in(found: Mapping[str, Any], expected: Mapping[str, Any], field: str = "") -> str | None:
    """The first thing that is expected of an object and not there, in words; None for none."""
    for key, value in expected.items():
        path = f"{field}.{key}" if field else key
        if key not in found:
            return f"{path} is missing, expected is {_shown(value)}"
        if isinstance(found[key], Mapping) and isinstance(value, Mapping):
            unmet = unmet_in(found[key], value, path)
            if unmet is not None:
                return unmet
        elif not holds(found[key], value):
            return f"{path} is {_shown(found[key])}, expected is {_shown(value)}"
    return None


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def holds(found: Any, expected: Any) -> bool:
    """Whether all that is expected is there; objects may have more keys than that."""
    if isinstance(expected, Mapping):
        return isinstance(found, Mapping) and all(
            key in found and holds(found[key], value) for key, value in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(map(holds, found, expected))
        )
    if isinstance(found, bool) or isinstance(expected, bool):
        return found is expected
    return bool(found == expected)


def Step(
    step: str,
    *,
    hosts: Sequence[str] = ("localhost",),
    parameters: Mapping[str, Any] = NOTHING,
    check: str | None = None,
    cleanup: str | None = None,
    needs: Iterable[Any] = (),
    notify: Mapping[str, Mapping[str, Sequence[str]]] = NOTHING,
    tries: int = 1,
    retry_delay: float = 1.0,
    timeout: float | None = None,
    on_lost: str = "ask",
    group: str = "",
) -> Any:
    """A step of a worker as something that a job needs: list it in DEPS.

    ``step``: "command:Subcommand"; ``check`` and ``cleanup`` are written so, too. With several
    ``hosts``, one after another. ``needs``: what the first of them needs, as in DEPS.

    Raises: DefinitionError.
    """
    run, checked, cleaned = (_call(text, parameters) for text in (step, check, cleanup))
    assert run is not None
    if isinstance(hosts, str) or not hosts:
        raise DefinitionError(f"Step({step!r}): hosts is {hosts!r}: list at least one host")
    told = {
        notice: {transport: tuple(targets) for transport, targets in by.items()}
        for notice, by in notify.items()
    }
    rules = Rules(
        tries=tries,
        retry_delay_s=retry_delay,
        timeout_s=timeout,
        on_lost=on_lost,
        has_check=checked is not None,
        has_cleanup=cleaned is not None,
    )
    before = tuple(needs)
    nodes = []
    for host in hosts:
        name = f"{step}@{host}"
        node = StepNode(
            name, host, group, rules, run._replace(notify=told), checked, cleaned, before
        )
        nodes.append(node)
        before = (node,)
    return nodes[0] if len(nodes) == 1 else type(step, (DummyJob,), {"DEPS": tuple(nodes)})


def _call(text: str | None, parameters: Mapping[str, Any]) -> Call | None:
    if text is None:
        return None
    try:
        name = parse_step(text)
    except WireError as error:
        raise DefinitionError(str(error)) from error
    if name.command == GATE:
        raise DefinitionError(f"Step({text!r}): a gate is a step of a playbook, no job needs one")
    return Call(name.command, name.subcommand, parameters)
