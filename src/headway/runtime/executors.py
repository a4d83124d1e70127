"""Makes the executor that a person asks for by name."""

from headway.errors import DefinitionError
from headway.ports.executor import Executor

NAMES = ("inline", "threads", "processes")


def make(on: str, slots: int) -> Executor:
    """The executor called ``on``, for so many jobs at once.

    ``on``: "inline", "threads" or "processes"; "" for inline with one slot, threads with more.
    Raises: DefinitionError.
    """
    if isinstance(slots, bool) or not isinstance(slots, int) or slots < 1:
        raise DefinitionError(f"-j is {slots!r}: it must be a whole number of 1 or more")
    if on == "inline" and slots > 1:
        raise DefinitionError(
            f"--on inline carries out one job at a time, not {slots}:"
            " use --on threads or --on processes, or leave out -j"
        )
    if on == "inline" or (on == "" and slots == 1):
        from headway.adapters.inline import Inline

        return Inline()
    if on in ("", "threads"):
        from headway.adapters.threads import Threads

        return Threads(slots)
    if on == "processes":
        from headway.adapters.processes import Processes

        return Processes(slots)
    raise DefinitionError(f"--on is {on!r}: it must be {', '.join(NAMES[:-1])} or {NAMES[-1]}")
