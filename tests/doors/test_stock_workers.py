"""Stock workers as they are typed: found by name, tried in one process, refused with a remedy."""

import json
from pathlib import Path

from tests.doors.typed import Place


def test_a_step_of_a_stock_worker_needs_nothing_else(place: Place) -> None:
    said = place.type("step", "noop:Ok")
    assert said.lines[-1] == "completed"
    said = place.type("step", "noop:Fail", code=1)
    assert said.lines[-1] == "failed: noop:Fail always fails"


def test_a_stock_worker_can_be_named_to_serve_another_command(place: Place) -> None:
    place.write("rest.json", json.dumps({"queue": "rest"}))
    words = ("--worker", "sleep", "-w", "rest.json", "--param", "seconds=0")
    said = place.type("step", "rest:Seconds", *words)
    assert said.lines[-1] == "completed: 0.0"


def test_a_command_that_no_stock_worker_has_is_answered_with_those_there_are(place: Place) -> None:
    for step in ("frob:Ok", "output:Ok"):
        said = place.type("step", step, code=64)
        assert "The stock workers are noop, sleep, shell, httprequest, notify." in said.err


def test_a_missing_configuration_is_said_with_its_remedy(place: Place) -> None:
    said = place.type("step", "shell:Go", code=1)
    assert "given by -w, lacks 'commands'" in said.err
    assert "Traceback" not in said.err


def test_a_wrong_configuration_is_said_before_the_broker_is_looked_for(place: Place) -> None:
    place.write("output.json", json.dumps({"output_dir": "/no/such/directory"}))
    nowhere = "amqp://u:p@127.0.0.1:1/x"
    said = place.type("worker", "output", "--bus", nowhere, "-w", "output.json", code=1)
    assert "make the directory first" in said.err


def test_without_a_broker_a_stock_worker_says_how_it_is_tried(place: Place) -> None:
    said = place.type("worker", "noop", code=64)
    assert "headway step COMMAND:SUBCOMMAND --worker noop" in said.err


def test_a_file_of_the_same_name_is_still_named_by_its_file(place: Place, tmp_path: Path) -> None:
    place.write(
        "noop.py",
        """
        from reworker.worker import Worker


        class NoopWorker(Worker):
            def process(self, channel, basic_deliver, properties, body, output):
                said = {"status": "completed", "data": "mine"}
                self.send(properties.reply_to, properties.correlation_id, said, exchange="")
        """,
    )
    assert place.type("step", "noop:Ok", "--worker", "noop.py").lines[-1] == "completed: mine"
    assert place.type("step", "noop:Ok").lines[-1] == "completed"
