"""Whether the workers that hold attempts are still there: each step of the table, and the clock."""

from headway.releases.holders import BACK_WITHIN_S, LOST_AFTER_S, Holders


def test_a_worker_that_is_not_found_for_long_enough_is_lost_and_that_is_said_once() -> None:
    holders = Holders()
    holders.claimed("anna", "address 1")
    assert holders.addresses == {"anna": "address 1"}
    assert not holders.found("anna", True, 0.0)
    assert not holders.found("anna", False, 5.0)
    assert not holders.found("anna", False, 5.0 + LOST_AFTER_S - 0.01)
    assert holders.found("anna", False, 5.0 + LOST_AFTER_S)
    assert not holders.found("anna", False, 100.0)


def test_a_worker_that_is_found_again_was_not_lost() -> None:
    holders = Holders()
    holders.claimed("anna", "address 1")
    assert not holders.found("anna", False, 0.0)
    assert not holders.found("anna", True, 0.5)
    assert not holders.found("anna", False, 0.9)
    assert not holders.found("anna", False, 1.8)
    assert holders.found("anna", False, 2.0)


def test_a_lost_worker_that_claims_from_another_address_can_be_lost_again() -> None:
    holders = Holders(lost_after_s=0.0)
    holders.claimed("anna", "address 1")
    assert holders.found("anna", False, 0.0)
    holders.claimed("anna", "address 2")
    assert holders.addresses == {"anna": "address 2"}
    assert not holders.found("anna", True, 1.0)
    assert holders.found("anna", False, 2.0)


def test_after_an_absence_of_ones_own_everybody_has_time_to_be_back() -> None:
    holders = Holders()
    holders.claimed("anna", "address 1")
    assert not holders.found("anna", False, 0.0)
    holders.was_away(10.0)
    assert not holders.found("anna", False, 10.0)
    assert not holders.found("anna", False, 10.0 + BACK_WITHIN_S - 0.1)
    assert holders.found("anna", False, 10.0 + BACK_WITHIN_S)


def test_a_worker_that_holds_nothing_is_not_looked_for() -> None:
    holders = Holders(lost_after_s=0.0)
    holders.claimed("anna", "address 1")
    holders.forget("anna")
    assert holders.addresses == {}
    assert not holders.found("anna", False, 0.0)
