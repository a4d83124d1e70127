"""Makes the executor that a person asks for by name."""

from headway.errors import DefinitionError
from headway.ports.executor import Executor

NAMES = ("inline", "threads", "processes", "celery")
CELERY_SLOTS = 100  # jobs at once, where nobody says: its workers take no more than they can


def make(on: str, slots: int | None, app: str = "") -> Executor:
    """The executor called ``on``, for so many jobs at once.

    ``on``: one of NAMES; "" for inline with one slot, threads with more. ``slots``: None for one,
    or what Celery's workers can take. ``app``: of Celery, as for celery -A.
    Raises: DefinitionError, Unavailable.
    """
    if on == "celery" and slots is None:
        slots = CELERY_SLOTS
    slots = 1 if slots is None else slots
    if isinstance(slots, bool) or not isinstance(slots, int) or slots < 1:
        raise DefinitionError(f"-j is {slots!r}: it must be a whole number of 1 or more")
    if on == "inline" and slots > 1:
        raise DefinitionError(
            f"--on inline carries out one job at a time, not {slots}:"
            " use --on threads or --on processes, or leave out -j"
        )
    if on == "inline" or (on == "" and slots == 1):
        from headway.adapters.inline import Inline

        return Inline()
    if on in ("", "threads"):
        from headway.adapters.threads import Threads

        return Threads(slots)
    if on == "processes":
        from headway.adapters.processes import Processes

        return Processes(slots)
    if on == "celery":
        return _on_celery(slots, app)
    raise DefinitionError(f"--on is {on!r}: it must be {', '.join(NAMES[:-1])} or {NAMES[-1]}")


def _on_celery(slots: int, app: str) -> Executor:
    if not app:
        raise DefinitionError("--on celery needs the Celery app: -A proj.celery:app")
    from headway.adapters.celery_feeds.apps import load_app

    loaded = load_app(app)
    if loaded.connection_for_write().transport_cls == "memory":
        raise DefinitionError(
            f"the Celery app {app} is on memory://, on which Celery workers hear only what is sent"
            " in their own process: run jobs on an app whose broker is RabbitMQ or Redis"
        )
    from headway.adapters.celery_tries.executor import OnCelery

    return OnCelery(loaded, slots, name=app)
