"""Every executor keeps the contract: in this thread, in others, in child processes, and on a Celery
worker in this process, over a broker in memory. Real ones are in ``tests/services``."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import pytest
from celery import Celery, _state, signals
from celery.contrib.testing.worker import start_worker

pytest.register_assert_rewrite("headway.testing.executors")

from headway.adapters.celery_tries.executor import OnCelery  # noqa: E402
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


@contextmanager
def _celery_left_as_it_was() -> Iterator[None]:
    """A worker in this process makes its app everybody's, and sets logging up."""
    default, current = _state.default_app, _state._tls.current_app

    def is_set_up(**signal: object) -> None: ...

    signals.setup_logging.connect(is_set_up)
    try:
        with mock.patch.dict(os.environ):
            yield
    finally:
        signals.setup_logging.disconnect(is_set_up)
        _state.set_default_app(default)
        _state._set_current_app(current)


class TestOnCelery(BesideContract, ProcessContract, ExecutorContract):
    slots = 4

    @pytest.fixture(scope="class")
    @classmethod
    def app(cls) -> Iterator[Celery]:
        app = Celery("proj", broker="memory://", set_as_current=False)
        app.loader.import_module("headway.toolbox.tries")
        app.conf.broker_transport_options = {"polling_interval": 0.02}
        with (
            _celery_left_as_it_was(),
            start_worker(app, pool="threads", concurrency=4, perform_ping_check=False),
        ):
            yield app

    @pytest.fixture
    def executor_factory(self, app: Celery) -> Callable[[], Executor]:
        return lambda: OnCelery(app, 4, grace_s=GRACE_S)
