"""Which Celery system is listened to: what its app's configuration says, or was typed."""

from collections.abc import Sequence
from typing import NamedTuple

PLATFORM_QUEUE = "platform.fifo"
TASK_EXCHANGE = "task_exchange"
EVENT_EXCHANGE = "celeryev"
CONTROL = "celery"
EVENT_QUEUE = "headway.monitor.events"
EVENT_QUEUE_BYTES = 64 * 2**20  # of events that wait while no monitor is there; the oldest go


class TaskExchange(NamedTuple):
    """An exchange that tasks are sent to."""

    name: str
    kind: str = ""  # "topic", "direct", …; "" when nobody said
    keys: Sequence[str] = ()  # by which tasks go to their queues

    @property
    def is_passed_by(self) -> bool:
        """Celery sends what goes to a direct exchange straight to the queue instead."""
        return not self.name or self.kind == "direct"


class System(NamedTuple):
    """One Celery system on one broker."""

    queue: str = PLATFORM_QUEUE  # which hears every task
    exchanges: Sequence[TaskExchange] = (TaskExchange(TASK_EXCHANGE),)
    with_events: bool = False
    event_exchange: str = EVENT_EXCHANGE
    control: str = CONTROL


UNHEARD = (
    "tasks sent to {} are not heard: Celery sends these straight to their queue, past every"
    " exchange. Give the app a topic exchange (task_default_exchange_type='topic', or headway's"
    " Config)"
)
WORKERS_INSTEAD = "; with --events they are known from when a worker receives them"
WORKERS_HEARD = (
    "hears from Celery workers what becomes of tasks; workers that do not tell are asked to"
)
WORKERS_UNHEARD = (
    "does not hear from Celery workers (without --events): what becomes of a task is known when"
    " its result is stored"
)


def unheard(name: str, with_events: bool) -> str:
    shown = f"exchange {name}" if name else "the default exchange"
    return UNHEARD.format(shown) + ("" if with_events else WORKERS_INSTEAD)
