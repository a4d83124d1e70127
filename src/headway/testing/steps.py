"""One step of one worker, here and now: for the tests of those who write workers."""

import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from headway.adapters.dispatching import Answered, GivenBack, Heard, Line, Notified
from headway.runtime.sending import StepSender
from headway.runtime.worker import Worker
from headway.runtime.worker_trial import bus_pair, served
from headway.wire import names
from headway.wire.messages import PHASES, Notification, StepMessage

TRANSPORT = "trial"  # by which everybody is to be told of everything


class StepTrial(NamedTuple):
    """How a step ended, and all that could be seen of it."""

    status: str  # "completed", "failed", or "given back"
    data: Any  # of the final answer; None without
    message: Any  # the same
    answers: list[dict[str, Any]]  # all of them, in order
    output: list[str]  # the lines that the worker wrote
    notices: list[Notification]


def trial_step(
    worker: type[Worker],
    step: str,
    /,
    *,
    dynamic: Mapping[str, Any] | None = None,
    host: str = "localhost",
    config_file: str | os.PathLike[str] | None = None,
    **parameters: Any,
) -> StepTrial:
    """Serve a worker class in this process, and send it ``command:Subcommand``.

    ``dynamic``: the values that a deployment gives; ``parameters``: those of the step.
    Raises: WireError for what is no step, Rejected when the worker does not serve its command,
    DefinitionError when the worker cannot be made.
    """
    name = names.parse_step(step)
    own = {"command": name.command, "subcommand": name.subcommand, "hosts": [host]}
    body = StepMessage(
        parameters={**parameters, **own},
        dynamic=dict(dynamic or {}),
        notify={phase: {TRANSPORT: ["test"]} for phase in PHASES},
    )
    ours, theirs = bus_pair("trial")
    try:
        sender = StepSender(ours)
        sender.open()
        file = os.fspath(config_file) if config_file is not None else None
        with served(worker, theirs, file):
            sent = sender.send(name.command, body)
            sent.wait_until_taken()
            heard = list(sent.heard())
        sender.close()
        return _trial([*heard, *sent.rest()])
    finally:
        ours.close()


def _trial(heard: Iterable[Heard]) -> StepTrial:
    answers, output, notices = [], [], []
    final: Mapping[str, Any] = {"status": "given back"}
    for news in heard:
        match news:
            case Answered(response):
                answers.append(response.to_plain())
                final = answers[-1]
            case GivenBack():
                final = {"status": "given back"}
            case Line(level, text) if level != "debug":
                output.extend(text.split("\n"))
            case Notified(_, notice):
                notices.append(notice)
            case _:
                pass
    return StepTrial(
        final["status"], final.get("data"), final.get("message"), answers, output, notices
    )
