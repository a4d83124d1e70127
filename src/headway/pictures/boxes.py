"""Which nodes share a box, and which boxes share a panel.

Nodes that need the same and are needed by the same are *siblings*: nothing in the picture's
lines tells them apart. A large graph draws siblings of one state as one box with a count.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from headway.jobs.states import JobState, Verdict
from headway.pictures.graph import Graph

MOST_SINGLE = 300  # beyond as many nodes, siblings of one state share a box
MOST_NEEDS = 3000  # so they do beyond as many needs, which would be drawn as one dark weave
SMALLEST_PANEL = 5  # as many boxes of siblings are framed, and share their lines


@dataclass(frozen=True, slots=True)
class Block:
    """Sibling boxes that are placed together: one alone, or several in a panel."""

    boxes: tuple[tuple[int, ...], ...]  # for each box the nodes in it, one unless collapsed
    needs: tuple[int, ...]  # blocks, in the order the needs were written

    def state(self, graph: Graph, box: int) -> JobState | Verdict:
        """The state that all nodes of a box share."""
        return graph.states[self.boxes[box][0]]


def blocks_of(graph: Graph, *, full: bool) -> tuple[Block, ...]:
    """The blocks of a graph; what a block needs has a smaller index. Linear in nodes and needs.

    `full` gives every node a box of its own.
    """
    needs = [tuple(dict.fromkeys(needed)) for needed in graph.needs]
    collapse = not full and (len(needs) > MOST_SINGLE or sum(map(len, needs)) > MOST_NEEDS)
    groups: list[tuple[tuple[int, ...], ...]] = []
    for siblings in _siblings(needs):
        boxes = _by_state(graph, siblings) if collapse else [(key,) for key in siblings]
        if len(boxes) >= SMALLEST_PANEL or (collapse and len(siblings) > len(boxes)):
            groups.append(tuple(boxes))
        else:
            groups += [(box,) for box in boxes]
    groups.sort(key=lambda boxes: boxes[0][0])
    block_of = {key: at for at, boxes in enumerate(groups) for box in boxes for key in box}
    return tuple(
        Block(boxes, tuple(dict.fromkeys(block_of[other] for other in needs[boxes[0][0]])))
        for boxes in groups
    )


def _siblings(needs: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Nodes with the same needs and the same dependents, in the order of their first."""
    dependents: list[list[int]] = [[] for _ in needs]
    for key, needed in enumerate(needs):
        for other in needed:
            dependents[other].append(key)
    groups: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
    for key, needed in enumerate(needs):
        groups.setdefault((tuple(sorted(needed)), tuple(dependents[key])), []).append(key)
    return list(groups.values())


def _by_state(graph: Graph, siblings: Sequence[int]) -> list[tuple[int, ...]]:
    """Siblings parted by state, in the order the states first occur."""
    boxes: dict[JobState | Verdict, list[int]] = {}
    for key in siblings:
        boxes.setdefault(graph.states[key], []).append(key)
    return [tuple(box) for box in boxes.values()]
