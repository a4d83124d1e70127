"""What a picture is made from: names, needs and states, one a node."""

from collections.abc import Sequence
from dataclasses import dataclass

from headway.jobs.states import JobState, Verdict


@dataclass(frozen=True, slots=True)
class Graph:
    """A plan or a run as the pictures see it.

    The sequences run side by side, one item a node, and a node's index is its key. Nodes come
    in depth-first post-order: whatever a node needs has a smaller index than the node.

    Raises:
        ValueError: the sequences differ in length, or a node needs one that does not come
            before it.
    """

    names: Sequence[str]
    needs: Sequence[Sequence[int]]  # for each node the indices it needs, in DEPS order
    states: Sequence[JobState | Verdict]
    notes: Sequence[str] | None = None  # a second line: "try 2 of 3", "0.4 s", a Check's message
    title: str = ""

    def __post_init__(self) -> None:
        lengths = {len(self.names), len(self.needs), len(self.states)}
        if self.notes is not None:
            lengths.add(len(self.notes))
        if len(lengths) > 1:
            raise ValueError("names, needs, states and notes must have one item for each node")
        for key, needed in enumerate(self.needs):
            if any(not 0 <= other < key for other in needed):
                raise ValueError(f"node {key} needs a node that does not come before it")

    def note(self, key: int) -> str:
        """The note of one node, "" if there is none."""
        return self.notes[key] if self.notes is not None else ""
