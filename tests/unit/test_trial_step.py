"""``trial_step``: what the tests of a worker's author see."""

from pathlib import Path
from typing import Any

import pytest

from headway.errors import DefinitionError, Rejected, WireError
from headway.testing import trial_step
from headway.wire.messages import PHASES
from tests.unit.serving import worker


def frob(self: Any, channel: Any, deliver: Any, properties: Any, body: Any, output: Any) -> None:
    output.info("one\ntwo")
    self.notify("Frobbed", "all of it", "completed", properties.correlation_id)
    fsm, run = properties.reply_to, properties.correlation_id
    self.send(fsm, run, {"status": "started"}, exchange="")
    self.send(fsm, run, {"status": "completed", "data": body, "message": "well"}, exchange="")


def test_a_step_is_seen_with_its_answers_output_and_notices(tmp_path: Path) -> None:
    step = trial_step(worker(frob), "frob:Do", cart="c1", dynamic={"sort": "x"}, host="web3")
    assert (step.status, step.message, step.output) == ("completed", "well", ["one", "two"])
    parameters = {"command": "frob", "subcommand": "Do", "hosts": ["web3"], "cart": "c1"}
    assert (step.data["parameters"], step.data["dynamic"]) == (parameters, {"sort": "x"})
    assert set(step.data["notify"]) == set(PHASES)
    assert [answer["status"] for answer in step.answers] == ["started", "completed"]
    assert [(one.slug, one.phase) for one in step.notices] == [("Frobbed", "completed")]


def test_a_worker_that_raises_failed() -> None:
    def raises(*_: Any) -> None:
        raise OSError("out of order")

    step = trial_step(worker(raises), "frob:Do")
    assert (step.status, step.output, step.notices) == ("failed", [], [])
    assert "out of order" in step.data


def test_a_worker_may_give_a_step_back() -> None:
    def refuse(self: Any, channel: Any, deliver: Any, *_: Any) -> None:
        self.reject(deliver, requeue=True)

    assert trial_step(worker(refuse), "frob:Do").status == "given back"


def test_mistakes_are_named() -> None:
    with pytest.raises(WireError, match="is no step"):
        trial_step(worker(frob), "frob")
    with pytest.raises(Rejected, match=r"worker\.juicer"):
        trial_step(worker(frob), "juicer:Do")
    with pytest.raises(DefinitionError, match="cannot be read"):
        trial_step(worker(frob), "frob:Do", config_file="nowhere.json")
