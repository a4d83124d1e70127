"""Releases that are begun over the API are surrounded, and their state tells of triggers."""

from contextlib import closing
from pathlib import Path

from headway.adapters.opening import open_store
from headway.releases.surroundings_reading import from_plain
from tests.doors.api_client import deployed, serving

AROUND = from_plain(
    {
        "step_triggers": [
            {
                "description": "breathe",
                "when": {"next_subcommand": "Ship"},
                "command": "noop",
                "subcommand": "Breathe",
                "parameters": {},
            }
        ],
        "pre_deploy_check": [
            {
                "name": "quiet",
                "command": "noop",
                "subcommand": "IsQuiet",
                "parameters": {},
                "expectation": {"status": "completed"},
            }
        ],
    },
    "a test",
)


def test_a_release_is_surrounded_and_its_record_has_what_triggers_inserted(tmp_path: Path) -> None:
    with (
        closing(open_store(tmp_path / "headway.db")) as store,
        serving(store, surroundings=AROUND) as api,
        api.client(api.token()) as client,
    ):
        run = deployed(client, api.playbook(), inputs={"password": "env:SHOP_PASSWORD"})
        assert store.find(run).launch.surroundings == AROUND.to_plain()
        steps = ["noop:Noop", "noop:Breathe", "noop:Ship"]
        jobs = client.get(f"/runs/{run}/jobs").json()["jobs"]
        assert [job["job"] for job in jobs] == [
            "check quiet",
            *(f"{step}@{host}" for host in ("web1.test", "web2.test") for step in steps),
        ]
        record = client.get(f"/runs/{run}").json()["record"]
        assert record["triggers"] == AROUND.to_plain()["step_triggers"]
        assert record["active_sequence"]["steps"] == [
            "noop:Noop", "noop:Breathe", {"noop:Ship": {"dynamic": ["cart"]}},
        ]  # fmt: skip
