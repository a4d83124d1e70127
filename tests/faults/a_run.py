"""A program that carries out a run in child processes; killed, and started in odd ways, by tests.

python -m tests.faults.a_run PLACE HOW MANY JOB
"""

import json
import signal
import sys
from pathlib import Path
from typing import Any

from headway.adapters.processes import Processes
from headway.jobs.compiling import compile_jobs
from headway.jobs.events import OutputWritten
from headway.jobs.job import DummyJob
from headway.runtime.runner import Runner
from tests.faults import process_jobs


def main(place: str, how: str, many: int, name: str) -> None:
    if how == "children-reaped-by-the-system":
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    base = getattr(process_jobs, name)
    jobs = [type(f"{name} {number}", (base,), {}) for number in range(many)]
    plan, definitions, _ = compile_jobs(type("Root", (DummyJob,), {"DEPS": jobs}))
    lines = []

    def heard(event: Any) -> None:
        if isinstance(event, OutputWritten):
            lines.append(event.text)

    executor = Processes(many)
    inputs = {"place": place}
    runner = Runner(plan, definitions, executor, inputs=inputs, listeners=[heard])
    state = "interrupted"
    try:
        state = str(runner.run())
    except KeyboardInterrupt:
        pass
    told = {
        "state": state,
        "lines": lines,
        "results": list(runner.results.values()),
        "failures": [failure.message for failure in runner.failures.values()],
    }
    Path(place, "told").write_text(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
