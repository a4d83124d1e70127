"""What is left of the commands that a dead owner's jobs were running.

A command leads a session of its own, and the kernel ends it when its parent dies; but not what it
has started, nor a command that does not want it. There are two ways to find these. The run's
journal has the command's process id, and while anything is left in its session, that number is
given to nobody else. And everything a command starts inherits a mark in its environment: that
also finds what was started in the moment before the owner died, and what left the session.

Out of reach is only who left the session and cleaned the environment, or a system without /proc
on which the owner died before it took note.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from headway.adapters import groups
from headway.adapters.commands import MARK
from headway.jobs.events import ProcessStarted
from headway.runtime.ownership import boot_id, process_started


def end_leftovers(
    run: str, noted: Iterable[ProcessStarted], is_over: Callable[[int, int], bool]
) -> None:
    """End them. ``is_over`` says of key and number whether nothing of a try can be left."""
    found = {command.pid for command in noted if is_left(command)}
    for pid, key, number in _marked(run):
        if not is_over(key, number):
            try:
                found.add(os.getpgid(pid))
            except ProcessLookupError:
                continue
    for group in found - _ours():
        groups.end_group(group)


def is_left(command: ProcessStarted) -> bool:
    """Whether anything is left of a command: itself, or what it started in its session."""
    if command.boot != boot_id() or not command.started:
        return False
    started = process_started(command.pid)
    if started or sys.platform != "linux":
        return started == command.started
    members = [found for pid in groups.processes() if (found := groups.stat(pid))]
    return any(
        found.group == found.session == command.pid and int(found.started) >= int(command.started)
        for found in members
    )


def _marked(run: str) -> Iterator[tuple[int, int, int]]:
    """Processes that carry the run's mark, with the key and the number in it."""
    begins = f"{MARK}={run} ".encode()
    for pid in groups.processes():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue  # it has ended, or is somebody else's
        for variable in environment.split(b"\0"):
            if variable.startswith(begins) and groups.stat(pid):
                key, _, number = variable[len(begins) :].decode().partition(" ")
                yield pid, int(key), int(number)


def _ours() -> set[int]:
    """The groups of this process and of those it came from: it may be a command of that run."""
    found = {os.getpgrp()}
    one = groups.stat(os.getpid())
    while one is not None:
        found.add(one.group)
        one = groups.stat(one.parent)
    return found
