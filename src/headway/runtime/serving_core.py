"""A core process: waits for the lead, drives, and begins again whatever happens to store or bus."""

import logging
import random
import threading
from collections.abc import Callable
from contextlib import closing

from headway.errors import Conflict, Unavailable
from headway.ports.bus import Bus
from headway.ports.store import Store
from headway.runtime import ownership
from headway.runtime.core import Core, CoreRules
from headway.runtime.leading import Lead
from headway.runtime.worker_roster import roster_kept

_LOG = logging.getLogger("headway.core")
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0


class CoreService:
    """Serves until stopped. Threads: one serves, any may stop it or wake it."""

    def __init__(
        self,
        open_store: Callable[[], Store],
        make_bus: Callable[[], Bus],
        rules: CoreRules | None = None,
    ) -> None:
        self._open_store = open_store
        self._make_bus = make_bus
        self._rules = rules or CoreRules()
        self._stopping = threading.Event()
        self._core: Core | None = None
        self.leads = threading.Event()  # set while this process drives

    def stop(self) -> None:
        """Hand everything back and leave. Any thread."""
        self._stopping.set()
        self.wake()

    def drain(self) -> None:
        """Start nothing more; what is under way goes on. Any thread."""
        core = self._core
        if core is not None:
            core.drain()

    def wake(self) -> None:
        """Something was written to the store that it would find soon anyway. Any thread."""
        core = self._core
        if core is not None:
            core.wake()

    def serve(self) -> None:
        """Until ``stop``. Raises: Refused and Rejected, which trying again does not mend."""
        wait_s = FIRST_WAIT_S
        while not self._stopping.is_set():
            try:
                self._lead()
                wait_s = FIRST_WAIT_S
            except Conflict as error:
                _LOG.warning("leads no longer: %s", error)
            except Unavailable as error:
                _LOG.warning("begins again in %.1f s: %s", wait_s, error)
                self._stopping.wait(wait_s * random.uniform(0.5, 1.0))
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _lead(self) -> None:
        owner = ownership.this_process()
        lead = Lead(self._open_store, owner)
        with closing(self._open_store()) as store:
            term = lead.awaited(store, self._stopping)
            if term is None:
                return
            with lead.kept(term), closing(self._make_bus()) as bus:
                bus.open()
                _LOG.info("leads, term %d: store %s, bus %s", term, store.place, bus.place)
                core = self._core = Core(store, bus, owner, term, self._rules)

                def goes_on() -> bool:
                    lead.require()
                    return not self._stopping.is_set()

                self.leads.set()
                try:
                    with roster_kept(self._open_store, bus):
                        core.drive(goes_on)
                finally:
                    self.leads.clear()
                    self._core = None
