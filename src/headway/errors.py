"""Every error a caller of Headway can meet, grouped by what the caller can do about it.

A job that fails is a value (an outcome), not an exception. What is raised here is a caller's
mistake or a world that does not answer. Each message says what happened, with the names
involved, and then what to do. A vendor's own error is kept as ``__cause__``.
"""


class HeadwayError(Exception):
    """Something Headway was asked for cannot be done."""


class DefinitionError(HeadwayError, RuntimeError):
    """A job, a plan or a target is written wrongly: fix the code.

    Also a RuntimeError, which scripts written for the original DoJobber catch.
    """


class WireError(HeadwayError):
    """A message or a stored row cannot be understood: whoever wrote it must change it."""


class Unavailable(HeadwayError):
    """A part of the world does not answer (a database, a bus): try again later."""


class Rejected(HeadwayError):
    """The request can never be carried out as it stands: do not repeat it."""


class Conflict(HeadwayError):
    """Somebody else was first: look at what they hold, then decide."""


class Lost(Conflict):
    """A run is no longer ours to write to; ``run`` says which."""

    def __init__(self, text: str, run: str = "") -> None:
        super().__init__(text)
        self.run = run


class Refused(HeadwayError):
    """Not allowed."""
