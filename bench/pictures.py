"""Measures how long pictures of many shapes take: `python bench/pictures.py`.

Each figure is the CPU time of one cold picture in milliseconds, the median of three. The bars:
300 jobs of any shape as SVG in 500 ms, 2,000 jobs with every one drawn in 3,000 ms. PNG and the
depth of 10,000 are shown beside them.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable

from headway.jobs.states import JobState
from headway.pictures import Graph, dot, mermaid, png, svg, text

Needs = list[list[int]]

STATES = (
    JobState.PASSED,
    JobState.REPAIRED,
    JobState.RUNNING,
    JobState.PENDING,
    JobState.FAILED,
    JobState.BLOCKED,
)


def chain(size: int) -> Needs:
    return [[key - 1] if key else [] for key in range(size)]


def star_of_needs(size: int) -> Needs:
    return [*([] for _ in range(size - 1)), list(range(size - 1))]


def star_of_dependents(size: int) -> Needs:
    return [[] if key == 0 else [0] for key in range(size)]


def hourglass(size: int) -> Needs:
    """A root that needs many that all need one."""
    return [[], *([0] for _ in range(size - 2)), list(range(1, size - 1))]


def layered(width: int, each: int) -> Callable[[int], Needs]:
    def shape(size: int) -> Needs:
        chance = random.Random(1)
        needs: Needs = [[] for _ in range(min(width, size))]
        while len(needs) < size:
            start = (len(needs) // width - 1) * width
            needs.append(sorted(chance.sample(range(start, start + width), each)))
        return needs

    return shape


def grid(size: int) -> Needs:
    width = int(size**0.5)
    needs: Needs = []
    for key in range(size):
        beside = [key - 1] if key % width else []
        above = [key - width] if key >= width else []
        needs.append(beside + above)
    return needs


def any_of(most: int) -> Callable[[int], Needs]:
    def shape(size: int) -> Needs:
        chance = random.Random(2)
        return [
            sorted(chance.sample(range(key), min(key, chance.randint(0, most))))
            for key in range(size)
        ]

    return shape


def tree(size: int) -> Needs:
    last = size - 1
    return [
        [
            last - child
            for child in range((last - key) * 3 + 1, (last - key) * 3 + 4)
            if child < size
        ]
        for key in range(size)
    ]


def lanes(size: int) -> Needs:
    """Ten chains side by side between one start and one end."""
    length = (size - 2) // 10
    needs: Needs = [[]]
    for _ in range(10):
        needs += [[len(needs) + at - 1] if at else [0] for at in range(length)]
    return [*needs, [lane * length + length for lane in range(10)]]


def settings_for_all(size: int) -> Needs:
    """A chain of which each job also needs the first."""
    return [[] if key == 0 else sorted({0, key - 1}) for key in range(size)]


def all_with_all(size: int) -> Needs:
    half = size // 2
    return [*([] for _ in range(half)), *(list(range(half)) for _ in range(size - half))]


def sparse_pairs(size: int) -> Needs:
    """Two wide levels, joined here and there."""
    chance, half = random.Random(3), size // 2
    return [
        *([] for _ in range(half)),
        *(sorted(chance.sample(range(half), 5)) for _ in range(half)),
    ]


def twigs(size: int) -> Needs:
    """A root that needs many pairs."""
    pairs = (size - 1) // 2
    needs: Needs = []
    for pair in range(pairs):
        needs += [[], [2 * pair]]
    return [*needs, [2 * pair + 1 for pair in range(pairs)]]


SHAPES: dict[str, Callable[[int], Needs]] = {
    "chain": chain,
    "star of needs": star_of_needs,
    "star of dependents": star_of_dependents,
    "hourglass": hourglass,
    "layers of 10": layered(10, 2),
    "layers of 30": layered(30, 3),
    "layers of 100": layered(100, 3),
    "grid": grid,
    "random, up to 2 needs": any_of(2),
    "random, up to 4 needs": any_of(4),
    "random, up to 16 needs": any_of(16),
    "tree": tree,
    "ten lanes": lanes,
    "each needs the first": settings_for_all,
    "all with all": all_with_all,
    "two wide levels": sparse_pairs,
    "pairs below a root": twigs,
}


def graph(needs: Needs) -> Graph:
    chance = random.Random(4)
    names = [f"prepare machine {key} of the cluster" for key in range(len(needs))]
    states = [chance.choice(STATES) for _ in needs]
    return Graph(names, needs, states, [chance.choice(["", "try 2 of 3"]) for _ in needs], "bench")


def took(draw: Callable[[], object], times: int = 3) -> float:
    """CPU time of one call in milliseconds."""
    figures = []
    for _ in range(times):
        start = time.process_time()
        draw()
        figures.append(time.process_time() - start)
    return statistics.median(figures) * 1000


def main() -> int:
    svg(graph(chain(3)))  # imports are not the pictures' cost
    heads = ("300 svg", "2,000 svg full", "2,000 svg", "300 png", "2,000 png full")
    print(f"{'milliseconds of CPU time':24}" + "".join(f"{head:>16}" for head in heads))
    late = []
    for name, shape in SHAPES.items():
        small, large = graph(shape(300)), graph(shape(2000))
        figures = (
            took(lambda small=small: svg(small)),
            took(lambda large=large: svg(large, full=True)),
            took(lambda large=large: svg(large)),
            took(lambda small=small: png(small), 1),
            took(lambda large=large: png(large, full=True), 1),
        )
        print(f"{name:24}" + "".join(f"{figure:16,.0f}" for figure in figures), flush=True)
        if figures[0] > 500 or figures[1] > 3000:
            late.append(name)
    deep = graph(chain(10_000))
    print(f"chain of 10,000: svg {took(lambda: svg(deep), 1):,.0f}", end=", ")
    print(
        f"dot {took(lambda: dot(deep), 1):,.0f}, mermaid {took(lambda: mermaid(deep), 1):,.0f}",
        end=", ",
    )
    print(f"text {took(lambda: text(deep), 1):,.0f}")
    print(f"above the bar: {', '.join(late)}" if late else "all within the bars")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
