"""Chooses how blocks are laid out."""

from collections.abc import Sequence
from dataclasses import dataclass

from headway.pictures.layered import place_layered
from headway.pictures.layers import Shape, disentangles, shape_of
from headway.pictures.paths import Placed, Point
from headway.pictures.rows import place_rows

_SCREEN = (1600.0, 1400.0)  # px that are comfortable to look at; scrolling down is easy


@dataclass(frozen=True, slots=True)
class Manner:
    """How blocks are to be laid out."""

    shape: Shape
    across: bool = False  # what is wanted stands on the left, not on top
    wrapped: bool = False  # a long narrow drawing is broken into columns
    plain: bool = False  # in plain rows, without graphlay

    @property
    def even(self) -> bool:
        """Whether boxes look better all of one width, since they stand above one another."""
        return self.across or self.wrapped


def manner_of(needs: Sequence[Sequence[int]], sizes: Sequence[Point]) -> Manner:
    """Chooses how blocks of the given sizes are laid out.

    What is wanted stands on top and what it needs beneath it; on the left and to its right if
    that makes the picture much handier.
    """
    shape = shape_of(needs, sizes)
    if not disentangles(shape, len(sizes)):
        return Manner(shape, plain=True)
    if _screens(shape.across) * 1.3 < _screens(shape.down):
        return Manner(shape, across=True)
    width, height = shape.down
    wrapped = _screens(shape.down) > 1.2 and height > 2.5 * width and not _has_loose(needs)
    return Manner(shape, wrapped=wrapped)


def place(manner: Manner, needs: Sequence[Sequence[int]], sizes: Sequence[Point]) -> Placed:
    """Where blocks of the given sizes and the lines between them go."""
    if manner.plain:
        return place_rows(needs, sizes)
    return place_layered(needs, sizes, manner.shape, across=manner.across, wrapped=manner.wrapped)


def _has_loose(needs: Sequence[Sequence[int]]) -> bool:
    """Whether a block is joined to nothing; graphlay puts those in the way of wrapped lines."""
    joined = {other for needed in needs for other in needed}
    return any(not needed and block not in joined for block, needed in enumerate(needs))


def _screens(size: Point) -> float:
    """How many screens a drawing is long or wide, whichever is more."""
    return max(size[0] / _SCREEN[0], size[1] / _SCREEN[1])
