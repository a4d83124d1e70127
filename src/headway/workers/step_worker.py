"""What the stock workers that do steps have in common: from a step's message to its answer.

    understood    its parameters are read and checked; a step that is wrong is answered ``failed``
    acknowledged  and ``started`` is answered
    carried out   until it is done, its deadline is over, or the worker has to leave
    answered      ``completed``, or ``failed`` with a sentence in ``data``

It is acknowledged before it is worked on, so that what changes the world is not done twice.
"""

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from headway.runtime.worker import Worker
from headway.runtime.worker_config import read_config, stop_limit_s
from headway.runtime.worker_output import Output
from headway.wire import names
from headway.workers.keys import LIBRARY_KEYS, Keys, StepFailed, configuration, parameters
from headway.workers.patience import FINISH_SHARE, Patience

# What a step's parameters hold besides its own.
OWN = ("command", "subcommand", "hosts", "notify", "dynamic")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.:-]{0,253}[A-Za-z0-9_])?")


Work = Callable[[Output], Mapping[str, Any]]  # gives the keys of the answer besides its status


class Configured(Protocol):
    """A worker with a configuration of its own."""

    def configured(self, keys: Keys) -> None: ...


class Step(NamedTuple):
    """A step, as far as any worker reads it."""

    subcommand: str
    hosts: Sequence[str]
    parameters: Keys
    dynamic: Mapping[str, Any]
    patience: Patience

    @property
    def host(self) -> str:
        """The one host that it is for. Raises: StepFailed."""
        if len(self.hosts) != 1 or not _HOST.fullmatch(self.hosts[0]):
            raise StepFailed(f"the step's 'hosts' is {list(self.hosts)!r}: it must name one host")
        return self.hosts[0]


class StepWorker(Worker):
    """Serves steps."""

    #: The subcommands there are; a worker without takes any, or says itself what is wrong.
    subcommands: Sequence[str] = ()
    #: How long a step may go on once the worker is to leave; None: a share of STOP_LIMIT_S.
    finish_s: float | None = None

    def __init__(
        self,
        mq_config: Any,
        config_file: str | os.PathLike[str] | None = None,
        logger: logging.Logger | None = None,
        **kwargs: Any,
    ) -> None:
        # Before anything is connected: a wrong configuration is said at once, broker or not.
        configure(self, config_file)
        super().__init__(mq_config, config_file, logger, **kwargs)

    def configured(self, keys: Keys) -> None:
        """Take what the configuration says. Raises: DefinitionError."""

    def understood(self, step: Step) -> Work:
        """What the step wants done; nothing has been done yet. Raises: StepFailed."""
        raise NotImplementedError

    def step_of(self, body: Any, patience: Patience) -> Step:
        """The step in a message's body. Raises: StepFailed."""
        return step_in(body, names.command_of(type(self).__name__), patience)

    def process(
        self, channel: Any, basic_deliver: Any, properties: Any, body: Any, output: Output
    ) -> bool:
        """One step; whether it completed."""

        def answer(**said: Any) -> None:
            self.send(properties.reply_to, properties.correlation_id, said, exchange="")

        try:
            work = self._read(body, properties)
            self.ack(basic_deliver)
            answer(status="started")
            answer(status="completed", **work(output))
            return True
        except StepFailed as error:
            self.ack(basic_deliver)
            output.error(str(error))
            answer(status="failed", data=str(error), **error.more)
            return False

    def _read(self, body: Any, properties: Any) -> Work:
        deadline = (properties.headers or {}).get(names.DEADLINE)
        finish_s = self.finish_s
        if finish_s is None:
            finish_s = FINISH_SHARE * stop_limit_s(self._config)
        patience = Patience(self._service.stopping, deadline, finish_s)
        step = self.step_of(body, patience)
        if self.subcommands and step.subcommand not in self.subcommands:
            raise StepFailed(
                f"{type(self).__name__} has no subcommand {step.subcommand[:80]!r}:"
                f" there is {', '.join(dict.fromkeys(map(str.capitalize, self.subcommands)))}"
            )
        return self.understood(step)


def configure(worker: Configured, config_file: str | os.PathLike[str] | None) -> None:
    """Have a worker take its whole configuration. Raises: DefinitionError."""
    if config_file:
        keys = configuration(read_config(config_file), os.fspath(config_file))
    else:
        keys = configuration({}, None)
    worker.configured(keys)
    keys.none_left(passed=LIBRARY_KEYS)


def step_in(body: Any, command: str, patience: Patience) -> Step:
    """The step in a message's body. Raises: StepFailed."""
    values = body.get("parameters") if isinstance(body, dict) else None
    if not isinstance(values, dict):
        raise StepFailed("the message is no step: it lacks 'parameters', an object")
    subcommand = values.get("subcommand", "")
    hosts = values.get("hosts", [])
    if not isinstance(subcommand, str):
        raise StepFailed("the step's 'subcommand' is no text")
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise StepFailed("the step's 'hosts' must be a list of texts")
    dynamic = body.get("dynamic")
    own = {key: value for key, value in values.items() if key not in OWN}
    return Step(
        subcommand,
        hosts,
        parameters(own, f"{command}:{subcommand[:80]}"),
        dynamic if isinstance(dynamic, dict) else {},
        patience,
    )
