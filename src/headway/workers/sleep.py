"""sleep: waits for so many seconds."""

from collections.abc import Mapping
from typing import Any

from headway.runtime.worker_output import Output
from headway.workers.step_worker import Step, StepWorker, Work

LONGEST_S = 86_400


class SleepWorker(StepWorker):
    """``sleep:Seconds`` with ``seconds``; the answer's ``data`` says how many."""

    subcommands = ("Seconds", "seconds")

    def understood(self, step: Step) -> Work:
        seconds = step.parameters.number("seconds", most=LONGEST_S)
        step.parameters.none_left()

        def work(output: Output) -> Mapping[str, Any]:
            step.patience.pause(seconds)
            return {"data": seconds}

        return work
