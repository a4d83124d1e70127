"""The page of limits says what the code holds."""

from headway.runtime.limits import LIMITS
from tools.limits_page import PAGE, page


def test_the_page_of_limits_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page(), "write it again: python -m tools.limits_page"


def test_no_limit_is_told_of_twice() -> None:
    places = [limit.where for limit in LIMITS]
    assert len(places) == len(set(places))
