"""What the pages on Celery say of RabbitMQ, SQS and PostgreSQL is what these do."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import botocore.client
import kombu.pools
import psycopg
import pytest
from amqp.exceptions import AccessRefused
from celery import Celery
from kombu import Connection

from cadasta.workertoolbox.conf import Config
from headway.adapters.celery_feeds.apps import feed_of_broker
from headway.adapters.celery_feeds.system import System
from headway.runtime import clocks
from tests.docs.console import LEFT_BY_USERS, REPOSITORY, blocks
from tests.services.celery_brokers import SQS_OPTIONS, celery_worker
from tests.services.postgres import Postgres, find_binaries
from tests.services.rabbitmq import RabbitMQ
from tests.services.sqs import Sqs
from tests.services.worker_process import worker_process
from tests.unit.toolbox_apps import an_app, complaints

pytestmark = pytest.mark.services


def page(name: str) -> str:
    return (REPOSITORY / name).read_text("utf-8")


def shell_lines(name: str) -> list[str]:
    return [
        line
        for block in blocks(page(name))
        if block.kind == "sh"
        for line in block.text.splitlines()
    ]


@pytest.fixture(autouse=True)
def _no_connection_is_kept() -> Iterator[None]:
    yield
    kombu.pools.reset()


# --- RabbitMQ -----------------------------------------------------------------------------------


def url_of(rabbitmq: RabbitMQ, user: str) -> str:
    """Of a user with the rights that the page gives."""
    (line,) = [
        one for one in shell_lines("docs/how-to/celery-on-rabbitmq.md") if f"-p shop {user} " in one
    ]
    *_, configure, write, read = shlex.split(line)
    return rabbitmq.make_user(user, configure, write, read)


def test_who_sends_and_who_works_need_no_more_rights_on_rabbitmq_than_the_page_gives(
    rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    results = f"db+sqlite:///{tmp_path / 'results.db'}"
    app = Celery("producer", set_as_current=False)
    app.config_from_object(
        Config(["export"], broker_url=url_of(rabbitmq, "producer"), result_backend=results)
    )
    sent = app.send_task("export.note", args=["a"])
    url = url_of(rabbitmq, "worker")
    settings = {"queues": ["export"], "broker_url": url, "result_backend": results}
    with celery_worker(tmp_path, settings):
        assert sent.get(timeout=60, interval=0.1) == "a"
    with Connection(url) as connection, pytest.raises(AccessRefused):
        connection.channel().basic_get("platform.fifo")


@pytest.mark.parametrize(("user", "with_events"), [("monitor", False), ("watcher", True)])
def test_the_monitor_needs_no_more_rights_on_rabbitmq_than_the_page_gives(
    user: str, with_events: bool, rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    results = f"db+sqlite:///{tmp_path / 'results.db'}"
    settings = {"queues": ["export"], "broker_url": rabbitmq.url, "result_backend": results}
    app = Celery("producer", set_as_current=False)
    app.config_from_object(Config(**settings))
    app.send_task("export.note", args=["a"])
    system = System(with_events=with_events)
    with (
        celery_worker(tmp_path, settings),
        closing(feed_of_broker(url_of(rabbitmq, user), system, clocks.now_us)) as feed,
    ):
        assert feed.open().hears_workers is with_events
        if with_events:
            feed.enable_events()
        heard = {one.is_event for _ in (1, 2)[: 1 + with_events] for one in feed.fetch(1, 30)}
    assert heard == ({False, True} if with_events else {False})


def test_the_functional_tests_pass_with_the_rights_that_the_page_gives(
    rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    results = f"db+sqlite:///{tmp_path / 'results.db'}"
    app = an_app(broker_url=url_of(rabbitmq, "tester"), result_backend=results)
    assert complaints(app) == {}


# --- SQS ----------------------------------------------------------------------------------------


def test_an_app_on_sqs_does_no_more_than_the_policy_allows(
    sqs: Sqs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()
    make_api_call = botocore.client.BaseClient._make_api_call

    def noted(client: Any, operation: str, parameters: Any) -> Any:
        asked.add(f"sqs:{operation}")
        return make_api_call(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", noted)
    results = f"db+sqlite:///{tmp_path / 'results.db'}"
    options = {**SQS_OPTIONS, "queue_name_prefix": "prod-"}
    app = an_app(broker_url=sqs.url, result_backend=results, broker_transport_options=options)
    assert complaints(app) == {}
    text = page("docs/how-to/celery-on-sqs.md")
    (policy,) = [json.loads(one.text) for one in blocks(text) if one.file == "policy.json"]
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert asked <= allowed
    assert "sqs:SendMessage" in asked


def test_the_names_of_queues_on_sqs_are_those_that_the_page_tells(
    sqs: Sqs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page("docs/how-to/celery-on-sqs.md")
    (file,) = [one.text for one in blocks(text) if one.file == "shop/celery.py"]
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/celery.py").write_text(file)
    environment = {**os.environ, "CELERY_BROKER_URL": sqs.url, "QUEUE_PREFIX": "prod"}
    program = "from shop.celery import app; app.send_task('export.report')"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
    assert sqs.queues() == ["prod-celery", "prod-export", "prod-platform.fifo"]
    assert all(f"`{name}`" in text for name in sqs.queues())


# --- PostgreSQL, and the example on servers -----------------------------------------------------


@pytest.fixture
def platform_database(postgres: Postgres, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the owner types on the page was typed; gives what the workers are told."""
    parts = urlsplit(postgres.url)
    socket, database = parse_qs(parts.query)["host"][0], parts.path[1:]
    binaries = find_binaries()
    assert binaries is not None
    (line,) = [
        one for one in shell_lines("docs/how-to/celery-results.md") if one.startswith("psql ")
    ]
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{binaries}:{os.defpath}",
        "PGHOST": socket,
        "PGUSER": "headway",
    }
    typed = line.removesuffix("platform") + database
    subprocess.run(["/bin/sh", "-c", typed], env=environment, check=True, capture_output=True)
    yield {"RESULT_DB_HOST": socket, "RESULT_DB_NAME": database, "RESULT_DB_USER": "export"}
    with psycopg.connect(postgres.url, autocommit=True) as owner:
        owner.execute("DROP OWNED BY export")
        owner.execute("DROP ROLE export")


def test_the_example_runs_on_rabbitmq_and_postgresql_as_its_page_says(
    rabbitmq: RabbitMQ, platform_database: dict[str, str], postgres: Postgres, tmp_path: Path
) -> None:
    place = tmp_path / "export_service"
    shutil.copytree(REPOSITORY / "examples/export_service", place, ignore=LEFT_BY_USERS)
    told = {"CELERY_BROKER_URL": rabbitmq.url, **platform_database}
    tests, worker = shell_lines("examples/export_service/README.md")[-2:]
    assert tests.startswith("python -m unittest")
    assert worker.startswith("celery ")
    environment = {**os.environ, **told}
    command = [sys.executable, *shlex.split(tests)[1:]]
    subprocess.run(command, cwd=place, env=environment, check=True, capture_output=True)
    with worker_process("-m", *shlex.split(worker), cwd=place, more_env=told):
        done = subprocess.run(
            [sys.executable, "-m", "export_service", "catalogue.csv"],
            cwd=place,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
    assert "poetry,Leaves of Grass,Whitman" in done.stdout
    with psycopg.connect(postgres.url) as owner:
        stored = owner.execute("SELECT status FROM celery_taskmeta").fetchall()
    assert stored.count(("SUCCESS",)) >= 5  # the catalogue, three shelves, what joins them
