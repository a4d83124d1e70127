"""Measures executors: what a try costs, and how close many at once come to the ideal.

    python bench/executors.py                  the table of figures
    python bench/executors.py --tries 10000    so many tries for each figure of cost

Descriptors are those of this process before and after; memory is how much it grew meanwhile.
"""

import argparse
import os
import resource
import threading
import time
from collections.abc import Callable
from typing import Any

from headway.adapters.inline import Inline
from headway.adapters.processes import Processes
from headway.adapters.threads import Threads
from headway.jobs.compiling import compile_jobs
from headway.jobs.job import DummyJob, Job
from headway.ports.executor import Executor
from headway.runtime.runner import Runner

SLEEP_S = 0.05


class Quick(Job):
    def Check(self, *args: Any, **kwargs: Any) -> None: ...


class Sleeps(Job):
    def Check(self, *args: Any, **kwargs: Any) -> None:
        time.sleep(SLEEP_S)


def carried_out_s(executor: Executor, base: type[Job], jobs: int) -> float:
    """How long a run of so many jobs takes, side by side."""
    wanted = [type(f"{base.__name__} {number}", (base,), {}) for number in range(jobs)]
    plan, definitions, _ = compile_jobs(type("Root", (DummyJob,), {"DEPS": wanted}))
    runner = Runner(plan, definitions, executor)
    began = time.perf_counter()
    runner.run()
    took_s = time.perf_counter() - began
    assert runner.schedule.succeeded
    return took_s


def side_by_side(name: str, make: Callable[[int], Executor], jobs: int, slots: int) -> None:
    ideal_s = -(-jobs // slots) * SLEEP_S
    took_s = min(carried_out_s(make(slots), Sleeps, jobs) for _ in range(3))
    print(
        f"{name:10} {jobs} jobs of {SLEEP_S * 1000:.0f} ms, {slots} slots:"
        f" {took_s * 1000:7.1f} ms, {took_s / ideal_s:.3f} times the ideal"
    )


def cost(name: str, executor: Executor, tries: int) -> None:
    descriptors = len(os.listdir("/dev/fd"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    took_s = carried_out_s(executor, Quick, tries)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    left = len(os.listdir("/dev/fd")) - descriptors
    print(
        f"{name:10} {tries} tries: {took_s / tries * 1e6:8.1f} us a try,"
        f" {left} descriptors left, {grown} KiB grown, {threading.active_count()} threads left"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=2000)
    tries = parser.parse_args().tries
    side_by_side("threads", Threads, 200, 16)
    side_by_side("processes", Processes, 200, 16)
    cost("inline", Inline(), tries)
    cost("threads", Threads(4), tries)
    cost("processes", Processes(4), tries)


if __name__ == "__main__":
    main()
