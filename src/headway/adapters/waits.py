"""How long to wait before the next attempt at something that does not work."""

from collections.abc import Callable


def wait_s(failures: int, first_s: float, longest_s: float, chance: Callable[[], float]) -> float:
    """After so many failures in a row, from 1.

    The bound doubles with every failure. Chance spreads the waits from the first on, so that
    all that lost one broker do not come back in one moment.
    """
    doublings = min(failures, 60)  # beyond, the number no longer fits
    bound = min(longest_s, first_s * float(2**doublings))
    return first_s + chance() * max(0.0, bound - first_s)
