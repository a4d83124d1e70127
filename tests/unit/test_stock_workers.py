"""noop and sleep, what all stock workers share, and how they are found."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from headway.errors import DefinitionError
from headway.runtime import clocks
from headway.runtime.worker import Worker
from headway.wire import names
from headway.workers.catalogue import STOCK, stock_worker, stock_worker_for
from headway.workers.keys import StepFailed
from headway.workers.patience import Patience
from tests.unit.serving import DEADLINE_S, desk
from tests.unit.stock import answered, config_file, lines, made, refusal, send, serving

# The catalogue


@pytest.mark.parametrize("stock", STOCK, ids=lambda stock: stock.name)
def test_a_stock_worker_is_found_by_its_name(stock: Any) -> None:
    found = stock_worker(stock.name)
    assert found is not None
    assert issubclass(found, Worker)
    assert names.command_of(found.__name__) == stock.name


@pytest.mark.parametrize("name", ["", "frob", "Noop", "noop.noop", "../noop", "keys"])
def test_no_other_name_finds_one(name: str) -> None:
    assert stock_worker(name) is None
    assert stock_worker_for(name) is None


def test_the_output_worker_takes_no_steps() -> None:
    assert stock_worker_for("output") is None
    assert stock_worker("output") is not None


@pytest.mark.parametrize("stock", STOCK, ids=lambda stock: stock.name)
def test_a_configuration_with_an_unknown_key_is_refused_by_that_key(
    stock: Any, tmp_path: Path
) -> None:
    needed: dict[str, Any] = {
        "shell": {"commands": {"Yes": {"argv": ["/bin/true"]}}},
        "httprequest": {"hosts": {"example.net": {}}},
        "notify": {"smtp_host": "localhost", "smtp_from": "a@example.net"},
        "output": {"output_dir": str(tmp_path)},
    }
    config = {**needed.get(stock.name, {}), "queue": stock.name, "speling": 1}
    with desk() as at, pytest.raises(DefinitionError, match="speling"):
        made(at, stock.name, config_file(tmp_path, config))


@pytest.mark.parametrize("name", ["shell", "httprequest", "notify", "output"])
def test_a_worker_that_needs_a_configuration_says_which_key_and_how_it_is_given(name: str) -> None:
    with desk() as at, pytest.raises(DefinitionError, match=r"-w.* lacks '\w+'"):
        made(at, name)


# noop


@pytest.mark.parametrize("subcommand", ["Ok", "fail", "FAIL", "Anything", ""])
def test_noop_completes_without_data(subcommand: str, tmp_path: Path) -> None:
    with serving("noop", tmp_path) as at:
        assert answered(at, f"noop:{subcommand}") == {"status": "completed"}


def test_noop_fails_when_told_to(tmp_path: Path) -> None:
    with serving("noop", tmp_path) as at:
        assert answered(at, "noop:Fail") == {"status": "failed", "data": "noop:Fail always fails"}


def test_noop_shows_parameters_and_of_dynamic_values_the_names_only(tmp_path: Path) -> None:
    with serving("noop", tmp_path) as at:
        answered(at, "noop:Ok", {"colour": "blå"}, dynamic={"password": "s3cret"})
        (line,) = lines(at)
    assert '"colour": "blå"' in line
    assert '"dynamic": ["password"]' in line
    assert "s3cret" not in line


def test_a_noop_without_subcommand_completes(tmp_path: Path) -> None:
    with serving("noop", tmp_path) as at:
        at.send({"parameters": {}}, "worker.noop")
        assert [at.reply(), at.reply()] == [{"status": "started"}, {"status": "completed"}]


@pytest.mark.parametrize(
    "body",
    [[], {}, {"parameters": None}, {"parameters": {"hosts": "web-1"}},
     {"parameters": {"subcommand": 7}}, {"parameters": {"hosts": [7]}}],
)  # fmt: skip
def test_what_is_no_step_is_answered_failed_and_never_started(body: Any, tmp_path: Path) -> None:
    with serving("noop", tmp_path) as at:
        at.send(body, "worker.noop")
        answer = at.reply()
        assert answer["status"] == "failed"
        assert answer["data"]
        assert answered(at, "noop:Ok") == {"status": "completed"}


# sleep


@pytest.mark.parametrize("seconds", [0, 0.01, "0.01", " 1e-2 "], ids=repr)
def test_sleep_tells_the_seconds_as_a_number(seconds: Any, tmp_path: Path) -> None:
    with serving("sleep", tmp_path) as at:
        answer = answered(at, "sleep:Seconds", {"seconds": seconds})
    assert answer == {"status": "completed", "data": float(seconds)}
    assert isinstance(answer["data"], float)


def test_sleep_sleeps_for_so_long(tmp_path: Path) -> None:
    with serving("sleep", tmp_path) as at:
        before = time.monotonic()
        answered(at, "sleep:Seconds", {"seconds": 0.2})
        assert time.monotonic() - before >= 0.2


@pytest.mark.parametrize(
    "seconds",
    [-1, "-1", None, [], {}, True, "soon", "", "nan", "inf", "1e999", 86_401, 10**40, "0x10"],
    ids=repr,
)
def test_sleep_refuses_what_is_no_time(seconds: Any, tmp_path: Path) -> None:
    with serving("sleep", tmp_path) as at:
        why = refusal(at, "sleep:Seconds", {"seconds": seconds})
    assert why.startswith("'seconds' of sleep:Seconds is ")
    assert why.endswith("it must be a number from 0 to 86400")


@pytest.mark.parametrize(
    ("step", "parameters", "why"),
    [
        ("sleep:Seconds", {}, "sleep:Seconds lacks 'seconds'"),
        ("sleep:Seconds", {"seconds": 0, "minutes": 1}, "has a key 'minutes': it may have seconds"),
        ("sleep:Minutes", {"seconds": 0}, "has no subcommand 'Minutes': there is Seconds"),
    ],
)
def test_sleep_says_what_is_wrong(step: str, parameters: Any, why: str, tmp_path: Path) -> None:
    with serving("sleep", tmp_path) as at:
        assert why in refusal(at, step, parameters)


def test_a_step_is_given_up_at_its_deadline(tmp_path: Path) -> None:
    headers = {names.DEADLINE: clocks.now_us() + 100_000}
    with serving("sleep", tmp_path) as at:
        answer = answered(at, "sleep:Seconds", {"seconds": 3_600}, headers=headers)
    why = "it was given up: the step's deadline is over"
    assert answer == {"status": "failed", "data": why}


def test_a_worker_that_is_to_leave_ends_its_step_with_an_answer(tmp_path: Path) -> None:
    with desk() as at:
        worker = made(at, "sleep", finish_s=0.05)
        with at.serving(worker):
            send(at, "sleep:Seconds", {"seconds": 3_600})
            assert at.reply() == {"status": "started"}
        answer = at.reply()
    why = "it was given up: the worker is being stopped"
    assert answer == {"status": "failed", "data": why}


def test_a_step_that_is_soon_done_is_finished_by_a_worker_that_is_to_leave(tmp_path: Path) -> None:
    with desk() as at:
        with at.serving(made(at, "sleep")):
            send(at, "sleep:Seconds", {"seconds": 0.3})
            assert at.reply() == {"status": "started"}
        assert at.reply() == {"status": "completed", "data": 0.3}


# How long a step may go on


def test_without_deadline_and_stop_a_step_has_no_end() -> None:
    assert Patience(threading.Event()).ends_at() is None


@pytest.mark.parametrize("deadline", [None, "soon", True, 1.5, [], {}])
def test_a_deadline_that_is_no_number_is_none(deadline: Any) -> None:
    assert Patience(threading.Event(), deadline).ends_at() is None


@pytest.mark.parametrize("deadline", [0, -(10**30), 10**30])
def test_a_deadline_however_far_is_a_moment(deadline: int) -> None:
    assert Patience(threading.Event(), deadline).ends_at() is not None


def test_the_sooner_end_counts_and_is_told() -> None:
    stopping = threading.Event()
    patience = Patience(stopping, clocks.now_us() + 10_000_000, finish_s=0.0)
    assert patience.why() == "the step's deadline is over"
    stopping.set()
    end = patience.ends_at()
    assert end is not None
    assert end <= clocks.monotonic()
    with pytest.raises(StepFailed, match="the worker is being stopped"):
        patience.pause(DEADLINE_S)
