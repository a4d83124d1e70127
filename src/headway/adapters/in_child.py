"""What a child process is started for: a whole try, a Check that is asked, a Cleanup."""

import os
import socket
from collections.abc import Callable
from dataclasses import replace

from headway.adapters.bounded import BoundedTry
from headway.adapters.forks import Body
from headway.adapters.frames import ChannelTeller, Unportable, require_portable
from headway.adapters.here import ask_check, clean_up
from headway.adapters.tools import Stop, Tools
from headway.jobs.outcomes import Ending, Failure, Outcome, Phase
from headway.jobs.shared import Changes
from headway.ports.executor import Work


def whole_try(work: Work, key: int, number: int, directory: int) -> Body:
    """Carry out a try from its Check to its end."""

    def carried_out(own: Work, stop: Stop, teller: ChannelTeller) -> Outcome:
        one = BoundedTry(own, Tools(own, stop, key, number), teller)
        outcome = one.carried_out()
        if outcome.job is None:
            # What only the job holds open is closed, and so written, before its end is told.
            one.job = None
        return outcome

    return _body(work, directory, carried_out)


def asked_check(work: Work, key: int, directory: int) -> Body:
    """Ask a Check and nothing else."""
    return _body(work, directory, lambda own, stop, teller: ask_check(own, key))


def cleanup(work: Work, key: int, number: int, storage: Changes | None, directory: int) -> Body:
    """Run a Cleanup, on a fresh object with its storage restored."""

    def carried_out(own: Work, stop: Stop, teller: ChannelTeller) -> Outcome:
        failure = clean_up(own, key, number, None, storage)
        ending = Ending.FAILED if failure else Ending.PASSED
        return Outcome(ending, failure=failure, phase=Phase.CLEANUP, shared=own.shared.changes())

    return _body(work, directory, carried_out)


def _body(
    work: Work, directory: int, carried_out: Callable[[Work, Stop, ChannelTeller], Outcome]
) -> Body:
    def body(channel: socket.socket, stop: Stop) -> None:
        os.fchdir(directory)
        teller = ChannelTeller(channel, directory)
        own = replace(
            work,
            shared=work.shared.alone(),
            wrote=teller.wrote,
            started_process=teller.started_process,
            process_ended=teller.process_ended,
        )
        outcome = Outcome(Ending.FAILED)
        try:
            outcome = carried_out(own, stop, teller)
            require_portable(outcome.shared)
        except KeyboardInterrupt:
            teller.interrupted()
            return
        except Unportable as error:
            failure = Failure("DefinitionError", str(error))
            outcome = outcome._replace(
                ending=Ending.FAILED,
                result=None,
                failure=failure,
                final=True,
                shared=error.changes,
            )
        teller.ended(outcome)

    return body
