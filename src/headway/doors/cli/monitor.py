"""headway monitor"""

import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

import click

from headway.doors.cli import exits, options
from headway.doors.cli.exits import Mistyped

if TYPE_CHECKING:
    from headway.ports.tracking import Feed

EITHER = "-A proj.celery:app  or  --broker amqp://user:password@host/vhost"


@click.command(short_help="Record every Celery task.")
@click.option("-A", "--app", metavar="APP", help="The Celery app, as for celery -A.")
@click.option(
    "--broker", metavar="URL",
    help="Its broker, in place of -A: amqp://…, redis://…, sqs://…  [env: CELERY_BROKER_URL]",
)  # fmt: skip
@click.option("--events", is_flag=True, help="Have Celery workers tell what becomes of each task.")
@click.option("--queue", metavar="NAME", help="The queue that hears all.  [default: platform.fifo]")
@click.option(
    "--exchange", "exchanges", metavar="NAME", multiple=True,
    help="Where tasks are sent to, in place of what -A says; several.  [default: task_exchange]",
)  # fmt: skip
@click.option(
    "--key", "keys", metavar="KEY", multiple=True,
    help="A routing key, where the exchange is a direct one; several.",
)  # fmt: skip
@options.reading
def command(app: str | None, broker: str | None, **arguments: Any) -> int:
    """Record every Celery task from the moment it is sent, until told to stop (Ctrl-C, SIGTERM).

    The monitor consumes the queue that hears every task, and acknowledges what is in the store.
    Whatever dies, it or the store or the broker, it goes on where it was. It never opens a pickle.
    """
    import os

    from headway.doors.cli.stores import made

    broker = broker or (None if app else os.environ.get("CELERY_BROKER_URL"))
    if (app is None) == (broker is None):
        raise Mistyped(f"where are the tasks? Give {EITHER}")
    if broker is not None:
        _have_celery_take(broker, os.environ)
    settings = made(arguments)

    from headway.adapters.opening import open_tasks
    from headway.runtime.monitor import Monitor, serve
    from headway.runtime.worker_log import process_logger

    process_logger("headway.monitor", sys.stderr)
    serve(
        Monitor(
            _feed(app, broker, arguments),
            lambda: open_tasks(settings.db, durable=settings.durable),
            with_events=arguments["events"],
        )
    )
    return exits.DONE


def _have_celery_take(broker: str, environment: MutableMapping[str, str]) -> None:
    """As ``celery --broker`` does: Celery looks at the environment before it looks at its app."""
    environment["CELERY_BROKER_URL"] = broker
    for name in ("CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"):
        environment.pop(name, None)


def _feed(app: str | None, broker: str | None, arguments: dict[str, Any]) -> "Feed":
    from headway.adapters.celery_feeds import apps
    from headway.adapters.celery_feeds.system import System, TaskExchange
    from headway.errors import DefinitionError
    from headway.runtime import clocks

    typed = [TaskExchange(name, keys=arguments["keys"]) for name in arguments["exchanges"]]
    try:
        if app is not None:
            loaded = apps.load_app(app)
            system = apps.system_of(
                loaded, queue=arguments["queue"], with_events=arguments["events"]
            )
            return apps.feed_of_app(
                loaded, system._replace(exchanges=typed or system.exchanges), clocks.now_us
            )
        system = System(with_events=arguments["events"])
        if arguments["queue"]:
            system = system._replace(queue=arguments["queue"])
        if typed:
            system = system._replace(exchanges=typed)
        assert broker is not None
        return apps.feed_of_broker(broker, system, clocks.now_us)
    except DefinitionError as error:
        raise Mistyped(str(error)) from error
