"""Who owns a run, and whether they live.

On this machine a process is known by its id, its start and the system's boot: an id alone is
used again. Of another machine only the lease is known: when the owner was last heard of, by the
store's clock.
"""

import os
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path

from headway.adapters import groups
from headway.jobs.states import RunState
from headway.ports.store import Owner, RunRecord

LEASE_S = 10.0  # an owner not heard of for so long is taken for dead


@cache
def boot_id() -> str:
    """Which boot of this system."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return _said(["sysctl", "-n", "kern.bootsessionuuid"]) or "unknown"


def process_started(pid: int) -> str:
    """When a process of this machine started, as the system tells it; "" if there is none."""
    if sys.platform == "linux":
        found = groups.stat(pid)
        return found.started if found else ""
    return _said(["ps", "-o", "lstart=", "-p", str(pid)])


def _said(argv: list[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()


def this_process() -> Owner:
    """This process as the owner of a run."""
    pid = os.getpid()
    return Owner(socket.gethostname(), pid, process_started(pid), boot_id())


def lives(record: RunRecord) -> bool:
    """Whether the run has a living owner."""
    owner = record.owner
    if owner is None:
        return False
    if owner.host == socket.gethostname():
        return is_there(owner)
    return record.seen_s < LEASE_S


def is_there(owner: Owner) -> bool:
    """Whether a process of this machine still is."""
    return owner.boot == boot_id() and process_started(owner.pid) == owner.started


def state_now(record: RunRecord) -> RunState:
    """Where the run stands: without a living owner an unfinished one is interrupted."""
    if record.state is RunState.RUNNING and not lives(record):
        return RunState.INTERRUPTED
    return record.state
