"""With what a plan is carried out: read from arguments, and from what a run was begun with."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from headway.doors.cli.brokers import url_of
from headway.doors.cli.exits import Mistyped
from headway.doors.cli.settings import masked

if TYPE_CHECKING:
    from headway.runtime.launching import Options
    from headway.runtime.loading import Loaded
    from headway.runtime.step_workers import Ready
    from headway.runtime.worker import Worker


def ready_for(
    target: "Loaded", options: "Options", arguments: Mapping[str, Any], *, asks_only: bool = False
) -> "AbstractContextManager[Ready]":
    """What carries out a target, with the bus and the workers that its steps need.

    Raises: Mistyped for a bus that a run was on and that is not named any more.
    """
    from headway.runtime import step_workers

    bus = url_of(arguments)
    if options.bus and not bus:
        raise Mistyped(f"this run's workers are on {options.bus}: name it again with --bus URL")
    hands = step_workers.Hands(
        options.on, options.slots, bus, tuple(options.workers), stock_worker, options.app
    )
    return step_workers.made_ready(
        target.definitions,
        hands,
        width=target.width,
        asks_only=asks_only,
        announces=not asks_only and target.surroundings.phase_notice is not None,
    )


def asking(arguments: Mapping[str, Any]) -> "Options":
    """With what Checks are asked, and nothing else is done."""
    from headway.runtime.launching import Options

    return Options(
        on=arguments["on"] or "",
        app=arguments["app"] or "",
        workers=arguments["workers"],
        bus=bus_shown(arguments),
    )


def bus_shown(arguments: Mapping[str, Any]) -> str:
    """The bus as a store may keep it."""
    return masked(url_of(arguments))


def stock_worker(command: str) -> "type[Worker] | None":
    from headway.workers.catalogue import stock_worker_for

    return stock_worker_for(command)
