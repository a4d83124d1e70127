"""One step of a playbook, from its field."""

from collections.abc import Mapping
from typing import Any

from headway.errors import WireError
from headway.jobs.compiling import ON_LOST
from headway.jobs.plan import GATE
from headway.releases.document import UNREAD, clipped
from headway.releases.fields import Field, nearest
from headway.releases.playbook import GATE_STEP, PYTHON, Step, StepRules
from headway.wire.messages import PHASES
from headway.wire.names import StepName, parse_step

# The keys that a step keeps from its parameters, and those of ``job``.
STEP_KEYS = ("notify", "dynamic", "job")
JOB_KEYS = ("check", "cleanup", "tries", "retry_delay", "timeout", "on_lost")
GATE_KEYS = ("message", "notify", "job")  # all that a gate may have
_PARTS = ("check", "cleanup")  # steps that are part of another

# A message's own: what a playbook says under them would be overwritten.
_TAKEN = {
    "command": "The step's name says it: give the parameter another name",
    "subcommand": "The step's name says it: give the parameter another name",
    "hosts": "The sequence's hosts say it: give the parameter another name",
}
_STEP = "Write command:Subcommand, or an object with that one key and its parameters"
_PARAMETERS = "Write an object of parameters, or nothing"
_NOTIFY = "Write an object with started, completed or failed"
_TRANSPORTS = "Write an object: transport: [whom to tell]"
_NOTHING = StepName("", "")


def step_of(field: Field, *, part: str = "") -> Step:
    """``part``: check or cleanup, for a step that is part of another."""
    value = field.located.value
    if isinstance(value, str):
        name = _name(field, value)
        if name.command == GATE:
            _require_gate(field, name, part)
        return Step(*name)
    if not isinstance(value, dict):
        field.mistyped("a step", _STEP)
        return Step(*_NOTHING)
    found = field.members(_STEP)
    if not found:
        field.wrong("is empty", _STEP)
        return Step(*_NOTHING)
    if len(found) > 1:
        _several_keys(field, list(found))
        return Step(*_NOTHING)
    ((key, inside),) = found.items()
    if key == PYTHON:
        return _python_step(inside, part)
    at = field.located.keys.get(key, inside.located.at)
    named = inside._replace(located=inside.located._replace(at=at))
    name = _name(named, key, inside.located.value)
    if name.command == GATE:
        _require_gate(named, name, part)
        return _gate(inside, name)
    return with_parameters(inside, name, part)


def with_parameters(field: Field, name: StepName, part: str = "") -> Step:
    """The step that is called so, from the field of its parameters; ``part`` as in ``step_of``, or
    what else surrounds releases."""
    if field.located.value is None or (name is _NOTHING and isinstance(field.located.value, str)):
        return Step(*name)
    found = field.members(_PARAMETERS)
    for key in [key for key in _TAKEN if key in found]:
        at = field.located.keys.get(key)
        found[key].wrong("would be overwritten: each message has a key of its own", _TAKEN[key], at)
    rules = StepRules()
    if "job" in found and _is_reserved(found["job"]):
        rules = _rules(found.pop("job"), part)
    return Step(
        name.command,
        name.subcommand,
        notify=_notify(found.pop("notify")) if "notify" in found else {},
        dynamic=_dynamic(found.pop("dynamic")) if "dynamic" in found else (),
        rules=rules,
        parameters={key: member.located.plain() for key, member in found.items()},
    )


def _require_gate(field: Field, name: StepName, part: str) -> None:
    if part:
        field.wrong(f"is a gate, which is no {part}", "Make it a step of its own")
    elif f"{name.command}:{name.subcommand}" != GATE_STEP:
        what = f"is no gate, and no worker can serve the command {GATE}"
        field.wrong(what, f"Write {GATE_STEP}, or give the command another name")


def _gate(field: Field, name: StepName) -> Step:
    if field.located.value is None:
        return Step(*name)
    found = field.known(GATE_KEYS, "a gate", "Write an object with a message, or nothing")
    timeout_s = None
    if "job" in found:
        rules = found["job"].known(("timeout",), "the job of a gate", "Write {timeout: 3600}")
        timeout_s = rules["timeout"].seconds(zero=False) if "timeout" in rules else None
    return Step(
        name.command,
        name.subcommand,
        notify=_notify(found["notify"]) if "notify" in found else {},
        rules=StepRules(timeout_s=timeout_s),
        parameters={"message": found["message"].text()} if "message" in found else {},
    )


def _name(field: Field, text: str, value: Any = UNREAD) -> StepName:
    try:
        return parse_step(text)
    except WireError:
        what = f"{clipped(text)!r} is no step" if text else "is empty"
        field.wrong(what, _meant(text, value))
        return _NOTHING


def _meant(text: str, value: Any) -> str:
    """What somebody meant who wrote ``text``, and ``value`` after a colon, if there was one."""
    if text.startswith(f"{PYTHON}:"):
        return "Write python: package.module:JobClass, with a blank after the first colon"
    guesses = {
        text.replace("::", ":", 1): "",
        text.replace(".", ":", 1): "",
        text.replace(" ", ""): ", with no blank in it",
    }
    if isinstance(value, str):
        guesses = {f"{text}:{value}": ", with no blank after the colon"}
    for guess, how in guesses.items():
        try:
            parse_step(guess)
        except WireError:
            continue
        return f"Write {guess}{how}"
    return "Write command:Subcommand, both of letters, digits, _ and -"


def _several_keys(field: Field, keys: list[str]) -> None:
    remedy = f"Indent what belongs to {clipped(keys[0])} deeper than its name"
    if any(":" in key for key in keys[1:]):
        remedy = "Make a step of each"
    listed = ", ".join(clipped(key) for key in keys[:4]) + (", …" if len(keys) > 4 else "")
    field.wrong(f"has {len(keys)} keys ({listed}), and a step has one", remedy)


def _python_step(field: Field, part: str) -> Step:
    if part:
        field.wrong(f"is no step of a worker, as a {part} must be", "Write command:Subcommand")
        return Step(*_NOTHING)
    value = field.located.value
    if not isinstance(value, str):
        field.mistyped("a text", "Write package.module:JobClass")
        return Step(*_NOTHING)
    module, _, job = value.partition(":")
    if not all(word.isidentifier() for word in (*module.split("."), *job.split("."))):
        field.wrong(f"{clipped(value)!r} is no job class", "Write package.module:JobClass")
    return Step(PYTHON, job.rpartition(".")[2], python=value)


def _notify(field: Field) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    phases = field.known(PHASES, "notify", _NOTIFY)
    return {
        phase: {
            transport: whom.texts("Write a list of texts: whom to tell")
            for transport, whom in under.members(_TRANSPORTS).items()
        }
        for phase, under in phases.items()
    }


def _dynamic(field: Field) -> tuple[str, ...]:
    return field.texts("Write a list of the inputs that it needs, by name")


def _is_reserved(field: Field) -> bool:
    """``job`` is a step's own word only for an object of these keys; else a parameter.

    Where each key is one of them or a slip of the pen for one, it is taken for the step's own,
    so that the slip is told and no rule is lost.
    """
    value = field.located.value
    return isinstance(value, dict) and all(
        key in JOB_KEYS or nearest(key, JOB_KEYS) for key in value
    )


def _rules(field: Field, part: str) -> StepRules:
    if part in _PARTS:
        field.wrong(f"is not for a {part}", "Say it of the step itself")
        return StepRules()
    keys = [key for key in JOB_KEYS if not part or key not in _PARTS]
    found = field.known(keys, "job" if not part else f"the job of a {part}", _PARAMETERS)
    return StepRules(
        check=step_of(found["check"], part="check") if "check" in found else None,
        cleanup=step_of(found["cleanup"], part="cleanup") if "cleanup" in found else None,
        tries=found["tries"].whole(least=1) if "tries" in found else None,
        retry_delay_s=found["retry_delay"].seconds(zero=True) if "retry_delay" in found else None,
        timeout_s=found["timeout"].seconds(zero=False) if "timeout" in found else None,
        on_lost=found["on_lost"].one_of(ON_LOST) if "on_lost" in found else None,
    )
