"""Playbooks planned and carried out by the command line, in one process."""

import json
import signal

import pytest

from tests.doors.typed import Place

POOL = """
    import os, signal
    from pathlib import Path
    from reworker.worker import Worker

    class PoolWorker(Worker):
        def process(self, channel, basic_deliver, properties, body, output):
            self.ack(basic_deliver)
            step = body["parameters"]
            host, subcommand = step["hosts"][0], step["subcommand"]
            with Path("sent").open("a") as sent:
                sent.write(f"{subcommand} {host}\\n")
            server = Path(host)
            flaw = ""
            if subcommand == "Out":
                server.write_text("out")
            elif subcommand == "In":
                server.write_text("in")
            elif subcommand == "IsOut" and not (server.exists() and server.read_text() == "out"):
                flaw = f"{host} is in the pool"
            elif subcommand == "Deploy" and Path("broken").exists():
                flaw = f"the build is broken, and {body['dynamic'].get('token')} does not help"
            elif subcommand == "Die" and not Path("died").exists():
                Path("died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            output.info("%s on %s for %s", subcommand, host, body["dynamic"].get("token"))
            status = "failed" if flaw else "completed"
            answer = {"status": status, "data": flaw or "well"}
            self.send(properties.reply_to, properties.correlation_id, answer, exchange="")
"""

ROLL = """
    group: orchard
    name: Roll
    execution:
      - hosts: [web1, web2]
        steps:
          - pool:Out: {job: {check: pool:IsOut, cleanup: pool:In}}
          - pool:Deploy
"""
SERVED = ("--worker", "pool.py")


@pytest.fixture
def roll(place: Place) -> Place:
    place.write("pool.py", POOL)
    place.write("roll.yaml", ROLL)
    return place


def sent(place: Place) -> list[str]:
    return (place.directory / "sent").read_text().splitlines()


def test_stock_workers_are_found_by_name(place: Place) -> None:
    place.write(
        "hello.yaml",
        """
        group: orchard
        name: Hello
        execution:
          - {hosts: [a, b], steps: [noop:Hello, {sleep:Seconds: {seconds: 0}}]}
        """,
    )
    said = place.type("run", "hello.yaml")
    assert said.lines[:4] == [f"✓ {one} done" for one in (
        "noop:Hello@a", "sleep:Seconds@a", "noop:Hello@b", "sleep:Seconds@b",
    )]  # fmt: skip
    assert "(Hello)" in place.type("show").lines[0]


def test_a_host_is_put_back_before_the_next_is_taken_out(roll: Place) -> None:
    roll.type("run", "roll.yaml", *SERVED)
    assert sent(roll) == [
        line
        for host in ("web1", "web2")
        for line in (
            f"IsOut {host}", f"Out {host}", f"IsOut {host}", f"Deploy {host}", f"In {host}",
        )
    ]  # fmt: skip


def test_a_plan_sends_checks_and_nothing_else(roll: Place) -> None:
    (roll.directory / "web2").write_text("out")
    said = roll.type("plan", "roll.yaml", *SERVED, "--json", code=2).json
    verdicts = {job["job"]: job["verdict"] for job in said["jobs"]}
    assert verdicts["pool:Out@web1"] == "will run"
    assert verdicts["pool:Out@web2"] == "done"
    assert verdicts["pool:Deploy@web1"] == verdicts["pool:In@web1"] == "not checkable"
    assert sent(roll) == ["IsOut web1", "IsOut web2"]
    assert not (roll.directory / ".headway").exists()


def test_a_failure_stops_the_release_and_the_host_is_put_back(roll: Place) -> None:
    (roll.directory / "broken").touch()
    said = roll.type("run", "roll.yaml", *SERVED, code=1)
    assert "✗ pool:Deploy@web1 failed: the build is broken" in said.out
    assert (roll.directory / "web1").read_text() == "in"
    assert not (roll.directory / "web2").exists()
    assert (
        "⊘ pool:In@web2      blocked                       by pool:Deploy@web1"
        in roll.type("show").out
    )


def test_a_retry_takes_the_host_out_again_first(roll: Place) -> None:
    (roll.directory / "broken").touch()
    roll.type("run", "roll.yaml", *SERVED, code=1)
    (roll.directory / "broken").unlink()
    before = len(sent(roll))
    roll.type("retry")
    assert sent(roll)[before:][:5] == [
        "IsOut web1", "Out web1", "IsOut web1", "Deploy web1", "In web1",
    ]  # fmt: skip
    assert sent(roll)[-1] == "In web2"


def test_a_step_that_was_put_away_needs_no_cleanup_again(roll: Place) -> None:
    roll.type("run", "roll.yaml", *SERVED)
    assert "nothing to clean up" in roll.type("cleanup").out


def test_what_is_already_so_is_not_put_away(roll: Place) -> None:
    (roll.directory / "web1").write_text("out")
    roll.type("run", "roll.yaml", *SERVED)
    assert "In web1" not in sent(roll)
    assert "In web2" in sent(roll)


def test_a_killed_release_is_taken_up_where_it_stood(place: Place) -> None:
    place.write("pool.py", POOL)
    steps = "pool:Out: {job: {cleanup: pool:In}}}, {pool:Die: {job: {on_lost: rerun}}}, pool:Deploy"
    place.write(
        "roll.yaml",
        f"{{group: g, name: Kill, execution: [{{hosts: [web1], steps: [{{{steps}]}}]}}",
    )
    place.type("run", "roll.yaml", *SERVED, code=-signal.SIGKILL)
    assert (place.directory / "web1").read_text() == "out"
    place.type("resume")
    assert sent(place) == ["Out web1", "Die web1", "Die web1", "Deploy web1", "In web1"]


def test_a_step_whose_end_nobody_saw_is_for_a_person_to_settle(place: Place) -> None:
    place.write("pool.py", POOL)
    place.write(
        "roll.yaml",
        "{group: g, name: Kill, execution: [{hosts: [web1], steps: [pool:Die, pool:Deploy]}]}",
    )
    place.type("run", "roll.yaml", *SERVED, code=-signal.SIGKILL)
    assert "settle" in place.type("resume", code=4).err
    place.type("settle", "pool:Die@web1", "--done")
    place.type("resume")
    assert sent(place) == ["Die web1", "Deploy web1"]


def test_what_a_cancelled_release_left_is_put_away(place: Place) -> None:
    place.write("pool.py", POOL)
    steps = "{pool:Out: {job: {cleanup: pool:In}}}, pool:Die"
    place.write(
        "roll.yaml", f"{{group: g, name: Kill, execution: [{{hosts: [web1], steps: [{steps}]}}]}}"
    )
    place.type("run", "roll.yaml", *SERVED, code=-signal.SIGKILL)
    place.type("settle", "pool:Die@web1", "--failed")
    assert "1 Cleanup" in place.type("cleanup", code=3).out
    assert sent(place) == ["Out web1", "Die web1", "In web1"]
    assert (place.directory / "web1").read_text() == "in"


@pytest.mark.parametrize("literal", [True, False])
def test_a_secret_is_kept_nowhere_and_asked_for_again(roll: Place, *, literal: bool) -> None:
    secret = 'p4ss/w\\rd "quoted"'
    roll.write(
        "roll.yaml",
        ROLL.replace("execution:", "inputs: [{name: token, secret: true}]\n    execution:"),
    )
    (roll.directory / "broken").touch()
    env = {"TOKEN": secret}
    given = secret if literal else "env:TOKEN"
    said = roll.type("run", "roll.yaml", *SERVED, "--set", f"token={given}", "-v", env=env, code=1)
    assert secret not in said.out + said.err
    assert "and [redacted] does not help" in said.out
    assert "for [redacted]" in roll.type("logs").out
    kept = b"".join(file.read_bytes() for file in (roll.directory / ".headway").iterdir())
    assert b"w\\\\rd" not in kept
    assert secret.encode() not in kept
    (roll.directory / "broken").unlink()
    if literal:
        assert "token" in roll.type("retry", code=1).err
        roll.type("retry", "--set", f"token={secret}")
    else:
        roll.type("retry", env=env)


def test_a_secret_that_is_not_where_it_was_said_to_be_is_named(roll: Place) -> None:
    roll.write(
        "roll.yaml",
        ROLL.replace("execution:", "inputs: [{name: token, secret: true}]\n    execution:"),
    )
    said = roll.type("run", "roll.yaml", *SERVED, "--set", "token=env:NOWHERE", code=1)
    assert said.err == (
        "headway: input 'token' is env:NOWHERE, and NOWHERE is not in the environment\n"
    )


def test_a_step_may_be_a_python_job_that_knows_its_host(place: Place) -> None:
    place.write(
        "warming.py",
        """
        from pathlib import Path
        from headway import Job

        class Warm(Job):
            def Check(self, **inputs):
                assert Path(self.host).exists(), f"{self.host} is cold"
            def Run(self, degrees, **inputs):
                Path(self.host).write_text(degrees)
        """,
    )
    place.write(
        "warm.yaml",
        "{group: g, name: Warm, inputs: [degrees], execution:"
        " [{hosts: [a, b], steps: [noop:Go, {python: 'warming:Warm'}]}]}",
    )
    place.type("run", "warm.yaml", "--set", "degrees=40")
    assert [(place.directory / host).read_text() for host in "ab"] == ["40", "40"]
    said = place.type("plan", "warm.yaml", "--set", "degrees=40", "--json", code=2).json
    assert said["counts"] == {"not checkable": 2, "done": 2}


def test_a_job_may_need_a_step(roll: Place) -> None:
    roll.write(
        "jobs.py",
        """
        from headway import DummyJob, Step

        class All(DummyJob):
            DEPS = [
                Step("pool:Out", hosts=["web1", "web2"], check="pool:IsOut", cleanup="pool:In"),
            ]
        """,
    )
    roll.type("run", "jobs.py:All", *SERVED)
    assert sent(roll) == [
        "IsOut web1", "Out web1", "IsOut web1", "IsOut web2", "Out web2", "IsOut web2",
        "In web2", "In web1",
    ]  # fmt: skip


def test_who_is_missing_is_named_before_anything_starts(roll: Place) -> None:
    said = roll.type("run", "roll.yaml", code=1)
    assert said.err == (
        "headway: nobody serves these commands in this process:\n"
        "  pool, for pool:Out@web1\n"
        "Name their workers with --worker FILE.py:Class, or a bus where they are with --bus URL.\n"
    )


def test_what_is_wrong_with_a_playbook_is_said_all_at_once(place: Place) -> None:
    place.write("bad.yaml", "{group: g, nam: x, execution: [{hosts: [], steps: [noop]}]}")
    said = place.type("run", "bad.yaml", code=1)
    assert len(said.err.splitlines()) == 3
    assert "Did you mean name?" in said.err


def test_a_missing_playbook_is_mistyped(place: Place) -> None:
    assert place.type("run", "nowhere.yaml", code=64).err.startswith(
        "headway: there is no file nowhere.yaml"
    )


def test_missing_inputs_are_said_all_at_once(roll: Place) -> None:
    roll.write("roll.yaml", ROLL.replace("execution:", "inputs: [one, two]\n    execution:"))
    said = roll.type("run", "roll.yaml", *SERVED, code=1)
    assert "'one'" in said.err
    assert "'two'" in said.err


def test_a_picture_needs_no_inputs(roll: Place) -> None:
    roll.write("roll.yaml", ROLL.replace("execution:", "inputs: [one]\n    execution:"))
    said = roll.type("graph", "roll.yaml", "--format", "mermaid")
    assert "pool:In#64;web2" in said.out


def test_hosts_side_by_side_are_done_at_once(place: Place) -> None:
    place.write(
        "meeting.py",
        """
        import time
        from pathlib import Path
        from reworker.worker import Worker

        class MeetWorker(Worker):
            def process(self, channel, basic_deliver, properties, body, output):
                self.ack(basic_deliver)
                Path(body["parameters"]["hosts"][0]).touch()
                end = time.monotonic() + 30
                while not all(Path(host).exists() for host in "abc"):
                    assert time.monotonic() < end, "the others never came"
                    time.sleep(0.01)
                answer = {"status": "completed"}
                self.send(properties.reply_to, properties.correlation_id, answer, exchange="")
        """,
    )
    place.write(
        "meet.yaml",
        "{group: g, name: Meet, execution: [{hosts: [a, b, c], parallel: 3, steps: [meet:Up]}]}",
    )
    place.type("run", "meet.yaml", "--worker", "meeting.py")


def test_the_second_run_of_a_release_that_can_be_checked_has_nothing_to_do(place: Place) -> None:
    place.write("pool.py", POOL)
    place.write(
        "out.yaml",
        "{group: g, name: Out, execution:"
        " [{hosts: [w], steps: [pool:Out: {job: {check: pool:IsOut}}]}]}",
    )
    place.type("run", "out.yaml", *SERVED)
    assert "nothing to do" in place.type("run", "out.yaml", *SERVED).out
    place.type("plan", "out.yaml", *SERVED, code=0)


def test_resuming_where_what_was_built_on_was_put_away_is_refused(roll: Place) -> None:
    roll.write("roll.yaml", ROLL.replace("- pool:Deploy", "- pool:Die\n          - pool:Deploy"))
    roll.type("run", "roll.yaml", *SERVED, code=-signal.SIGKILL)
    roll.type("settle", "pool:Die@web1", "--done")
    roll.type("cleanup", code=3)
    said = roll.type("resume", code=1)
    assert "headway retry" in said.err


def test_lines_belong_to_the_step_that_wrote_them_however_many_run_at_once(place: Place) -> None:
    place.write("pool.py", POOL)
    hosts = [f"web{number}" for number in range(6)]
    place.write(
        "side.json",
        f'{{"group": "g", "name": "n", "execution": [{{"hosts": {json.dumps(hosts)},'
        ' "parallel": 6, "steps": ["pool:Deploy"]}]}',
    )
    place.type("run", "side.json", *SERVED)
    for host in hosts:
        lines = place.type("logs", "--job", f"pool:Deploy@{host}", "--json").out.splitlines()
        starting, *said, finished = [json.loads(line)["text"] for line in lines]
        assert (starting[:9], finished[:9]) == ("Starting ", "Finished ")
        assert said[0] == f"Deploy on {host} for None"
