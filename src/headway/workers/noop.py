"""noop: nothing is done. Any step of it completes, except ``noop:Fail``."""

import json
from collections.abc import Mapping
from typing import Any

from headway.runtime.worker_output import Output
from headway.workers.keys import StepFailed
from headway.workers.step_worker import Step, StepWorker, Work

LONGEST_SHOWN = 10_000  # characters


class NoopWorker(StepWorker):
    """Its output shows what a step was given: parameters, and the names of dynamic values, which
    are everybody's and may be secret."""

    def understood(self, step: Step) -> Work:
        def work(output: Output) -> Mapping[str, Any]:
            given = {
                "subcommand": step.subcommand,
                "hosts": step.hosts,
                "parameters": step.parameters.values,
                "dynamic": sorted(step.dynamic),
            }
            output.info(json.dumps(given, ensure_ascii=False)[:LONGEST_SHOWN])
            if step.subcommand == "Fail":
                raise StepFailed("noop:Fail always fails")
            return {}

        return work
