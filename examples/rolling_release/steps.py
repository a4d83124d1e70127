"""What the two workers of this example have in common: from a step's message to its answer."""

from collections.abc import Callable
from typing import Any

from reworker.worker import Worker


class StepFailed(Exception):
    """What the step wants is not so, or cannot be done; says why."""


class HostWorker(Worker):
    """Serves steps that are for one host, a method for each subcommand.

    A method is given the host and the values that the release was given, and returns what there
    is to tell; if it raises, the step has failed.
    """

    steps: dict[str, Callable[[Any, str, dict[str, Any]], str]]

    def process(
        self, channel: Any, basic_deliver: Any, properties: Any, body: Any, output: Any
    ) -> bool:
        def answer(status: str, **more: Any) -> None:
            message = {"status": status, **more}
            self.send(properties.reply_to, properties.correlation_id, message, exchange="")

        parameters = body["parameters"]
        step = self.steps.get(parameters["subcommand"])
        self.ack(basic_deliver)
        answer("started")
        try:
            if step is None:
                raise StepFailed(f"there is only {', '.join(self.steps)}")
            (host,) = parameters["hosts"]
            said = step(self, host, body["dynamic"])
        except (StepFailed, LookupError, OSError) as error:
            answer("failed", data=str(error))
            return False
        answer("completed", data=said)
        return True
