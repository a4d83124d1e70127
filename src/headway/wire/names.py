"""Names on the bus: the exchange, keys, queues, headers; what steps and workers are called."""

import re
from typing import NamedTuple

from headway.errors import WireError

EXCHANGE = "re"
JOB_CREATE = "job.create"
OUTPUT = "output"
PRESENCE = "presence"
DEAD = "dead"  # the queue that keeps what a worker rejected, with the reason
LOG = "log"  # where nobody listens: the reply address of what wants no reply
JSON = "application/json"

# Headers of a step message.
CLAIMS = "headway-claims"  # the queue that grants the attempt
DEADLINE = "headway-deadline"  # microseconds of UTC since 1970: when answers come too late
NOTIFIES = "headway-notifies"  # whether its sender tells people that it has started
# Headers of what a worker sends.
WORKER = "headway-worker"  # who sends it
NOTICES = "headway-notices"  # of an answer: the notices sent so far, each "phase.transport"
CLOSING = "headway-closing"  # of an answer: a last line of output follows; of a line: it is that
# Headers of a dead letter.
REASON = "headway-reason"
QUEUE = "headway-queue"

_WORD = re.compile(r"\w[\w-]*", re.ASCII)


class StepName(NamedTuple):
    """``command:subcommand``: which workers, and what of them."""

    command: str
    subcommand: str


def parse_step(text: str) -> StepName:
    """Raises: WireError. A command may hold ``-``, and the subcommand may begin small."""
    command, mark, subcommand = text.partition(":")
    if not mark or not _WORD.fullmatch(command) or not _WORD.fullmatch(subcommand):
        raise WireError(
            f"{text[:80]!r} is no step: write command:Subcommand, both of letters, digits, _ and -"
        )
    return StepName(command, subcommand)


def worker_key(command: str) -> str:
    """The routing key of a command's steps, and the name of its queue."""
    return f"worker.{command}"


def notify_key(transport: str) -> str:
    return f"notify.{transport}"


def command_of(class_name: str) -> str:
    """What a worker class serves unless it is told: MegafrobberWorker, megafrobber."""
    return (class_name.removesuffix("Worker") or class_name).lower()
