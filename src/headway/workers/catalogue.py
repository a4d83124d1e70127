"""Finds a stock worker by its name; loads nothing but the one that was asked for."""

import importlib
from typing import NamedTuple

from headway.runtime.worker import Worker


class Stock(NamedTuple):
    """One stock worker."""

    name: str  # what starts it; of one that takes steps also their command
    module: str
    takes_steps: bool
    says: str
    needs_config: bool = False  # to be served at all


STOCK = (
    Stock("noop", "noop", True, "does nothing: any step of it completes, noop:Fail fails"),
    Stock("sleep", "sleep", True, "waits"),
    Stock("shell", "shell", True, "runs the commands that its configuration lists", True),
    Stock("httprequest", "httprequest", True, "sends a request and looks at the status", True),
    Stock("notify", "notify", True, "sends notices as mail", True),
    Stock("output", "output", False, "keeps the output of steps in files, or in the store"),
)


def stock_worker(name: str) -> type[Worker] | None:
    """The class of the stock worker of that name; None if there is none."""
    found = next((one for one in STOCK if one.name == name), None)
    return None if found is None else _loaded(found)


def stock_worker_for(command: str) -> type[Worker] | None:
    """The class of the stock worker that does steps of this command; None if there is none."""
    found = next((one for one in STOCK if one.name == command and one.takes_steps), None)
    return None if found is None else _loaded(found)


def _loaded(stock: Stock) -> type[Worker]:
    module = importlib.import_module(f"headway.workers.{stock.module}")
    found: type[Worker] = getattr(module, f"{stock.name.capitalize()}Worker")
    return found
