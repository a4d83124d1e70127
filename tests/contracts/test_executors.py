"""Every executor keeps the contract: in this thread, in others, in child processes."""

from collections.abc import Callable

import pytest

pytest.register_assert_rewrite("headway.testing.executors")

from headway.adapters.inline import Inline  # noqa: E402
from headway.adapters.processes import Processes  # noqa: E402
from headway.adapters.threads import Threads  # noqa: E402
from headway.ports.executor import Executor  # noqa: E402
from headway.testing.executors import (  # noqa: E402
    BesideContract,
    ExecutorContract,
    ProcessContract,
    SharedMemoryContract,
)

GRACE_S = 0.5  # instead of seconds: what is late here has nothing else to do than to be late


class TestInline(SharedMemoryContract, ExecutorContract):
    @pytest.fixture
    def executor_factory(self) -> Callable[[], Executor]:
        return lambda: Inline(grace_s=GRACE_S)


class TestOneThread(BesideContract, SharedMemoryContract, ExecutorContract):
    @pytest.fixture
    def executor_factory(self) -> Callable[[], Executor]:
        return lambda: Threads(1, grace_s=GRACE_S)


class TestFourThreads(BesideContract, SharedMemoryContract, ExecutorContract):
    slots = 4
    keeps_directory = False

    @pytest.fixture
    def executor_factory(self) -> Callable[[], Executor]:
        return lambda: Threads(4, grace_s=GRACE_S)


class TestOneProcess(BesideContract, ProcessContract, ExecutorContract):
    @pytest.fixture
    def executor_factory(self) -> Callable[[], Executor]:
        return lambda: Processes(1, grace_s=GRACE_S)


class TestFourProcesses(BesideContract, ProcessContract, ExecutorContract):
    slots = 4

    @pytest.fixture
    def executor_factory(self) -> Callable[[], Executor]:
        return lambda: Processes(4, grace_s=GRACE_S)
