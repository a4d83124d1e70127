"""Which nodes share a box."""

import pytest

from headway.jobs.states import JobState
from headway.pictures import Graph
from headway.pictures.boxes import MOST_SINGLE, blocks_of

P, F = JobState.PENDING, JobState.FAILED


def graph(needs: list[list[int]], states: list[JobState] | None = None) -> Graph:
    names = [f"job {key}" for key in range(len(needs))]
    return Graph(names, needs, states or [P] * len(needs))


def star(leaves: int) -> list[list[int]]:
    return [*([] for _ in range(leaves)), list(range(leaves))]


def test_a_few_siblings_stay_apart() -> None:
    blocks = blocks_of(graph(star(4)), full=False)
    assert [block.boxes for block in blocks] == [((key,),) for key in range(5)]
    assert blocks[4].needs == (0, 1, 2, 3)


def test_many_siblings_stand_in_one_panel_each_in_a_box_of_its_own() -> None:
    panel, root = blocks_of(graph(star(200)), full=False)
    assert panel.boxes == tuple((key,) for key in range(200))
    assert root.needs == (0,)


def test_beyond_the_limit_siblings_of_one_state_share_a_box() -> None:
    states = [F if key % 3 == 0 else P for key in range(MOST_SINGLE + 1)]
    panel, root = blocks_of(graph(star(MOST_SINGLE), states), full=False)
    assert [len(box) for box in panel.boxes] == [100, 200]
    assert {panel.state(graph(star(MOST_SINGLE), states), at) for at in (0, 1)} == {P, F}
    assert root.boxes == ((MOST_SINGLE,),)


def test_at_the_limit_every_node_has_its_own_box() -> None:
    panel, _ = blocks_of(graph(star(MOST_SINGLE - 1)), full=False)
    assert all(len(box) == 1 for box in panel.boxes)


def test_full_gives_every_node_its_own_box() -> None:
    blocks = blocks_of(graph(star(MOST_SINGLE * 2)), full=True)
    assert sum(len(block.boxes) for block in blocks) == MOST_SINGLE * 2 + 1


def test_nodes_with_the_same_needs_but_other_dependents_are_no_siblings() -> None:
    # 0 is needed by 1 to 6; 1 to 3 are needed by 7, 4 to 6 by 8
    needs = [[], [0], [0], [0], [0], [0], [0], [1, 2, 3], [4, 5, 6]]
    blocks = blocks_of(graph(needs * 1), full=False)
    assert all(len(block.boxes) == 1 for block in blocks)


def test_a_weave_of_too_many_needs_is_collapsed_even_below_the_limit() -> None:
    half = 100
    needs = [*([] for _ in range(half)), *(list(range(half)) for _ in range(half))]
    blocks = blocks_of(graph(needs), full=False)
    assert [block.boxes for block in blocks] == [
        (tuple(range(half)),),
        (tuple(range(half, 2 * half)),),
    ]


def test_a_need_named_twice_counts_once() -> None:
    assert blocks_of(graph([[], [0, 0]]), full=False)[1].needs == (0,)


def test_a_graph_whose_parts_do_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match="one item for each node"):
        Graph(["a"], [[]], [P, P])
    with pytest.raises(ValueError, match="one item for each node"):
        Graph(["a"], [[]], [P], [])
    with pytest.raises(ValueError, match="node 0 needs a node that does not come before it"):
        Graph(["a", "b"], [[1], []], [P, P])
