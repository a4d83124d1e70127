"""Whatever is killed, deployments reach their ends and nothing is done or recorded twice."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from headway.runtime.leading import LEASE_S
from tests.faults.core_kills import Place, carry_out
from tests.services.postgres import Postgres
from tests.services.rabbitmq import RabbitMQ

TAKES_OVER_S = 2.0  # after the lease is over

pytestmark = pytest.mark.services


@pytest.fixture
def killed(rabbitmq: RabbitMQ, postgres: Postgres, tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(
            stack, tmp_path, rabbitmq.node, rabbitmq.url, postgres.server, postgres.url, seed=4
        )


def test_a_core_killed_again_and_again_loses_nothing_and_does_nothing_twice(killed: Place) -> None:
    told = carry_out(killed, ["core"] * 20, each=1)
    assert told.deployments == 20
    assert told.hits >= 10, "of cores that drove something"


def test_a_standby_takes_over_from_a_core_that_is_killed(killed: Place) -> None:
    told = carry_out(killed, ["takeover"] * 5, each=2)
    assert told.deployments == 10


def test_a_core_that_hangs_is_replaced_in_time_and_finds_that_it_leads_no_longer(
    killed: Place,
) -> None:
    killed.deploy(4, takes_s=0.5)
    took_s = killed.freeze_core()
    assert killed.finish().deployments == 4
    assert took_s < LEASE_S + TAKES_OVER_S


def test_a_broker_that_is_killed_loses_nothing_and_does_nothing_twice(killed: Place) -> None:
    killed.deploy(1)
    killed.finish()  # the workers' queues have a leader, which is not so a moment after they begin
    told = carry_out(killed, ["broker"] * 5, each=2)
    assert told.deployments == 11


def test_a_database_that_is_killed_loses_nothing_and_does_nothing_twice(killed: Place) -> None:
    told = carry_out(killed, ["database"] * 5, each=2)
    assert told.deployments == 10
