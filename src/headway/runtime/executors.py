"""Makes the executor that a run asks for."""

from headway.errors import DefinitionError
from headway.ports.executor import Executor


def make(on: str, slots: int) -> Executor:
    """``on``: "inline", "threads" or "processes"; "": inline for one slot, threads for more.

    Raises: DefinitionError.
    """
    if slots < 1:
        raise DefinitionError(f"{slots} slots: a run needs at least one")
    if on == "inline" and slots > 1:
        raise DefinitionError(f"inline has one slot, not {slots}: use threads or processes")
    if on == "inline" or (not on and slots == 1):
        from headway.adapters.inline import Inline

        return Inline()
    if on in ("threads", ""):
        from headway.adapters.threads import Threads

        return Threads(slots)
    raise DefinitionError(f"there is no executor {on!r}: inline, threads or processes")
