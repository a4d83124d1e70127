"""The worker ``ticket``: opens and closes tickets, which are files in ``little-fleet/tickets``."""

import re
from pathlib import Path
from typing import Any

from reworker.worker import Worker, runner

TICKETS = Path("little-fleet/tickets").absolute()
WANTED = {"IsOpen": "open", "IsClosed": "closed"}


class TicketWorker(Worker):
    """``Open``, ``Close``, ``IsOpen``, ``IsClosed``, of the ticket that the release is given."""

    dynamic = ("ticket_id",)

    def process(
        self, channel: Any, basic_deliver: Any, properties: Any, body: Any, output: Any
    ) -> bool:
        def answer(status: str, **more: Any) -> None:
            message = {"status": status, **more}
            self.send(properties.reply_to, properties.correlation_id, message, exchange="")

        self.ack(basic_deliver)
        subcommand, ticket = body["parameters"]["subcommand"], str(body["dynamic"]["ticket_id"])
        try:
            state = done(subcommand, ticket)
        except (LookupError, ValueError) as error:
            answer("failed", data=str(error))
            return False
        answer("completed", data={"ticket": ticket, "state": state})
        return True


def done(subcommand: str, ticket: str) -> str:
    """Do it; the ticket's state. Raises: LookupError, ValueError."""
    if not re.fullmatch(r"[A-Z]+-[0-9]+", ticket):
        raise ValueError(f"{ticket!r} is no ticket: it must be like T-77")
    file = TICKETS / ticket
    state = file.read_text().strip() if file.exists() else ""
    match subcommand:
        case "Open" if state != "closed":
            TICKETS.mkdir(parents=True, exist_ok=True)
            file.write_text("open\n")
        case "Close" if state:
            file.write_text("closed\n")
        case "IsOpen" | "IsClosed" if state == WANTED[subcommand]:
            pass
        case "Open" | "Close" | "IsOpen" | "IsClosed":
            raise LookupError(f"{ticket} is {state}" if state else f"there is no ticket {ticket}")
        case _:
            raise ValueError(f"ticket cannot {subcommand}")
    return file.read_text().strip()


if __name__ == "__main__":
    runner(TicketWorker)
