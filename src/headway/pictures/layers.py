"""What can be told of a drawing in layers before it is made."""

from collections.abc import Sequence
from dataclasses import dataclass

from headway.pictures.paths import Point

NODE_GAP = 26.0  # px between neighbours in a layer
LAYER_GAP = 58.0  # px between layers
LANE_GAP = 12.0  # px a line takes that passes through a layer


@dataclass(frozen=True, slots=True)
class Shape:
    """What can be told of a drawing before it is made."""

    needs: int
    passed: int  # layers that lines pass through, added up
    busiest: int  # lines between the two neighbouring layers that have most
    down: Point  # width and height in px if layers go down
    across: Point  # the same if they go to the right


def shape_of(needs: Sequence[Sequence[int]], sizes: Sequence[Point]) -> Shape:
    """Estimates a drawing from longest paths. Linear in blocks and needs."""
    layers = layers_of(needs)
    count = max(layers) + 2
    widths, heights = [0.0] * count, [0.0] * count
    thickest, tallest = [0.0] * count, [0.0] * count
    for layer, (width, height) in zip(layers, sizes, strict=True):
        widths[layer] += width + NODE_GAP
        heights[layer] += height + NODE_GAP
        thickest[layer] = max(thickest[layer], width + LAYER_GAP)
        tallest[layer] = max(tallest[layer], height + LAYER_GAP)
    starts, ends = [0] * count, [0] * count
    for block, needed in enumerate(needs):
        starts[layers[block]] += len(needed)
        for other in needed:
            ends[layers[other]] += 1
    passing, lines = [], [0]
    for layer in range(count):
        passing.append(lines[-1] - ends[layer])
        lines.append(passing[-1] + starts[layer])
        widths[layer] += passing[-1] * LANE_GAP
        heights[layer] += passing[-1] * LANE_GAP
    return Shape(
        needs=sum(map(len, needs)),
        passed=sum(passing),
        busiest=max(lines),
        down=(max(widths), sum(tallest)),
        across=(sum(thickest), max(heights)),
    )


def layers_of(needs: Sequence[Sequence[int]]) -> list[int]:
    """For each block its layer, 0 on top.

    As far down as its longest chain of dependents asks; further down, right above what it
    needs, if that shortens more lines than it lengthens.
    """
    layers, dependents = [0] * len(needs), [0] * len(needs)
    for block in range(len(needs) - 1, -1, -1):
        for other in needs[block]:
            layers[other] = max(layers[other], layers[block] + 1)
            dependents[other] += 1
    for block, needed in enumerate(needs):
        if len(needed) > dependents[block]:
            layers[block] = min(layers[other] for other in needed) - 1
    return layers


def disentangles(shape: Shape, blocks: int) -> bool:
    """Whether layers show the graph well, within the time a reader waits.

    Where many more lines pass by than blocks stand, layers become a picture of lines. Graphlay
    takes 0.4 s for 3,000 lines between two layers, and 21 s for 5,000.
    """
    return shape.passed <= 4 * blocks and shape.needs <= 12_000 and shape.busiest <= 2500
