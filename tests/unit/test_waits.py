"""Waits grow, are jittered, and stay within their bounds."""

from headway.adapters.waits import wait_s


def test_waits_double_up_to_the_longest() -> None:
    bounds = [wait_s(failures, 0.1, 10.0, lambda: 1.0) for failures in (1, 2, 3, 6, 7, 1000)]
    assert [round(bound, 6) for bound in bounds] == [0.2, 0.4, 0.8, 6.4, 10.0, 10.0]


def test_chance_spreads_them_from_the_first_on() -> None:
    assert wait_s(1, 0.1, 10.0, lambda: 0.0) == 0.1
    assert wait_s(1, 0.1, 10.0, lambda: 0.5) < wait_s(1, 0.1, 10.0, lambda: 0.75)
    assert wait_s(50, 0.1, 10.0, lambda: 0.0) == 0.1


def test_a_longest_wait_below_the_first_is_the_first() -> None:
    assert wait_s(3, 0.5, 0.1, lambda: 1.0) == 0.5
