"""What every test shares: floors by cost, and what happens when a server is missing."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

pytest.register_assert_rewrite(
    "headway.testing.stores",
    "headway.testing.cores",
    "headway.testing.leases",
    "headway.testing.playbooks",
    "headway.testing.tokens",
    "headway.testing.buses",
    "headway.testing.tasks",
)

pytest_plugins = [
    "tests.services.postgres",
    "tests.services.rabbitmq",
    "tests.services.redis_server",
    "tests.services.sqs",
]

# Started in the background, or by nohup, the tests would pass the ignoring of Ctrl-C, or of a
# terminal that is gone, on to every process that they start.
for _number, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

# Cheapest first. Every test file stands on one of them, and --floors chooses among them.
FLOORS = ("unit", "properties", "contracts", "services", "faults", "doors", "docs")

RequireService = Callable[[str, bool, str], None]

# A shared machine decides how long an example takes, so no example has a deadline.
settings.register_profile("headway", deadline=None, print_blob=True)
settings.load_profile("headway")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--floors",
        metavar="FLOOR[,FLOOR...]",
        help=f"run only these floors of tests/: {', '.join(FLOORS)}",
    )


def chosen_floors(config: pytest.Config) -> frozenset[str]:
    option: str | None = config.getoption("--floors")
    chosen = frozenset(option.split(",")) if option else frozenset(FLOORS)
    if unknown := chosen.difference(FLOORS):
        raise pytest.UsageError(
            f"no such floor: {', '.join(sorted(unknown))}; there are {', '.join(FLOORS)}"
        )
    return chosen


def pytest_configure(config: pytest.Config) -> None:
    chosen_floors(config)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if collection_path.parent != Path(__file__).parent or collection_path.name not in FLOORS:
        return None
    return True if collection_path.name not in chosen_floors(config) else None


MISSING = "missing service: "


@pytest.fixture(scope="session")
def require_service() -> RequireService:
    """``require_service(name, found, how)``: go on only if the server NAME was found.

    Skips the test otherwise, and fails it where HEADWAY_REQUIRE_SERVICES=1 says that servers
    have to be there; HOW says how to get one.
    """

    def require(name: str, found: bool, how: str) -> None:
        if found:
            return
        reason = f"{MISSING}{name} ({how})"
        if os.environ.get("HEADWAY_REQUIRE_SERVICES") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)

    return require


def missing_services(reporter: pytest.TerminalReporter) -> Iterator[str]:
    for report in reporter.getreports("skipped"):
        if isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            if reason.startswith(MISSING):
                yield reason


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names each missing server once, with the number of tests that it cost."""
    reasons = list(missing_services(terminalreporter))
    for reason in sorted(set(reasons)):
        terminalreporter.line(f"{reason}: {reasons.count(reason)} test(s) skipped", yellow=True)
