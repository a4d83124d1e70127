"""``Config`` claim by claim, after the text that describes it, and what was decided beside it."""

import copy
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import QueueNotFound
from kombu import Exchange, Queue
from sqlalchemy import make_url

from cadasta.workertoolbox.conf import Config
from headway.errors import DefinitionError
from headway.toolbox.config import _OWN

EXCHANGE = Exchange("task_exchange", type="topic")
POSTGRESQL = "db+postgresql://cadasta:cadasta@localhost:5432/cadasta"


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, _ in _OWN.values():
        monkeypatch.delenv(variable, raising=False)
    for variable in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"):
        monkeypatch.delenv(variable, raising=False)


def configured(*queues: str, **settings: Any) -> Celery:
    app = Celery("configured", set_as_current=False)
    app.config_from_object(Config(queues, **settings))
    return app


# --- Required arguments -------------------------------------------------------------------------


def test_queues_are_required() -> None:
    with pytest.raises(TypeError, match="queues"):
        Config()  # type: ignore[call-arg]


@pytest.mark.parametrize("config", [Config(["export"]), Config(queues=["export"])])
def test_queues_are_given_by_position_or_by_name_and_stored_as_QUEUES(config: Config) -> None:
    assert config.QUEUES == ["export"]


@pytest.mark.parametrize("queues", [("export",), {"export"}, {"export": 1}, frozenset({"export"})])
def test_any_collection_of_names_will_do(queues: Any) -> None:
    config = Config(queues)
    assert {queue.name for queue in config.task_queues} == {"celery", "export", "platform.fifo"}
    assert config.QUEUES is queues


@pytest.mark.parametrize(
    "queues",
    ["export", b"bytes", iter(["export"]), None, 3, ["export", ""], ["a", None], ["a.*"], ["#"]],
)
def test_what_is_no_list_of_names_is_refused(queues: Any) -> None:
    with pytest.raises(DefinitionError, match="queues"):
        Config(queues)


def test_naming_the_default_or_the_platform_queue_changes_nothing() -> None:
    named = Config(["export", "celery", "platform.fifo", "export"])
    assert named.task_queues == Config(["export"]).task_queues
    assert named.task_routes.keys() == Config(["export"]).task_routes.keys()


# --- Optional arguments -------------------------------------------------------------------------


def test_the_broker_is_SQS_by_default() -> None:
    config = Config([])
    assert config.broker_transport == "sqs"
    assert config.broker_transport_options == {"region": "us-west-2", "queue_name_prefix": "dev-"}


def test_the_task_queues_are_all_bound_to_the_exchange_and_the_platform_queue_to_everything() -> (
    None
):
    queues = Config(["export", "import"]).task_queues
    assert isinstance(queues, set)
    assert queues == {
        Queue("celery", EXCHANGE, routing_key="celery"),
        Queue("platform.fifo", EXCHANGE, routing_key="#"),
        Queue("export", EXCHANGE, routing_key="export"),
        Queue("import", EXCHANGE, routing_key="import"),
    }


def test_each_route_names_its_queue_and_declares_every_queue() -> None:
    config = Config(["export"])
    assert {pattern: route["queue"] for pattern, route in config.task_routes.items()} == {
        "celery.*": "celery",
        "export.*": "export",
        "*": "celery",
    }
    for route in config.task_routes.values():
        assert route.keys() == {"queue", "declare"}
        assert set(route["declare"]) == config.task_queues


def test_the_route_for_all_others_is_the_last() -> None:
    assert list(Config(["a", "b"]).task_routes) == ["celery.*", "a.*", "b.*", "*"]


@pytest.mark.parametrize("queues", [["export", "export.pdf"], ["export.pdf", "export"]])
def test_of_two_queues_that_fit_the_one_with_the_longer_name_is_taken(queues: list[str]) -> None:
    router = configured(*queues, "celery.own").amqp.router
    names = ("export.pdf.page", "export.pdf", "export.page", "celery.own.task", "celery.backend")
    assert [router.route({}, name)["queue"].name for name in names] == [
        "export.pdf",
        "export",
        "export",
        "celery.own",
        "celery",
    ]


@pytest.mark.parametrize(
    ("name", "queue"),
    [
        ("export.report", "export"),
        ("celery.chord_unlock", "celery"),
        ("reports.make", "celery"),
        ("exports.report", "celery"),
    ],
)
def test_exchange_and_routing_key_on_the_wire_are_those_of_the_queue(name: str, queue: str) -> None:
    found = configured("export").amqp.router.route({}, name)["queue"]
    assert (found.name, found.exchange.name, found.routing_key) == (queue, "task_exchange", queue)


def test_the_exchange_is_of_type_topic_and_tasks_are_tracked_from_their_start() -> None:
    config = Config([])
    assert config.task_default_exchange == "task_exchange"
    assert config.task_default_exchange_type == "topic"
    assert config.task_track_started is True


def test_a_queue_that_is_not_listed_is_refused_by_its_name() -> None:
    app = configured("export", broker_url="memory://")
    with pytest.raises(QueueNotFound, match="unlisted"):
        app.send_task("export.report", queue="unlisted")


def test_messages_and_results_are_json_and_no_pickle_is_accepted() -> None:
    conf = configured().conf
    assert (conf.task_serializer, conf.result_serializer) == ("json", "json")
    assert conf.accept_content == ["json"]


@pytest.mark.parametrize(
    "setting",
    [
        {"task_serializer": "pickle"},
        {"result_serializer": "pickle"},
        {"accept_content": ["json", "application/x-python-serialize"]},
        {"result_accept_content": ["pickle"]},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_who_wants_pickle_gets_it_with_a_warning(setting: dict[str, Any]) -> None:
    (name,) = setting
    with pytest.warns(UserWarning, match=f"{name} allows pickle") as caught:
        config = Config([], **setting)
    assert getattr(config, name) == setting[name]
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "setting",
    [
        {"broker_transport_options": {"region": "eu-west-1"}},
        {"result_backend": "db+sqlite:///results.db"},
        {"result_backend": None},
        {"task_queues": {Queue("celery", Exchange("other"), routing_key="celery")}},
        {"task_routes": {}},
        {"task_create_missing_queues": True},
        {"task_track_started": False},
        {"worker_prefetch_multiplier": 1},
        {"database_create_tables_at_setup": True},
    ],
    ids=str,
)
def test_any_setting_can_be_overridden_and_reaches_celery(setting: dict[str, Any]) -> None:
    (name,) = setting
    assert configured("export", **setting).conf[name] == setting[name]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("BROKER_URL", "broker_url"),
        ("CELERY_TASK_SERIALIZER", "task_serializer"),
        ("CELERYD_CONCURRENCY", "worker_concurrency"),
    ],
)
def test_a_setting_by_an_old_name_is_refused_with_its_new_one(old: str, new: str) -> None:
    with pytest.raises(DefinitionError, match=f"{old} is an old name of Celery's: write {new}"):
        Config([], **{old: "amqp://"})


class Ours(Config):
    """As a project may have one for all its apps."""

    task_track_started = False
    worker_concurrency = 3
    broker_url = "redis://:s3cr3t@127.0.0.1:6379/0"
    broker_transport = "sqs"
    RESULT_DB_NAME = "ours"

    def queue_of(self) -> None:
        """No setting."""


def test_a_class_of_ones_own_gives_settings_as_attributes() -> None:
    config = Ours(["export"], worker_concurrency=4)
    app = Celery("ours", set_as_current=False)
    app.config_from_object(config)
    assert (app.conf.task_track_started, app.conf.worker_concurrency) == (False, 4)
    assert (app.conf.broker_transport, app.conf.broker_transport_options) == (None, {})
    assert config.result_backend.endswith("/ours")
    shown = repr(config)
    assert shown.startswith("Ours(queues=['export'], ")
    assert "broker_url='redis://:**@127.0.0.1:6379/0'" in shown
    assert "queue_of" not in shown


def test_pickle_in_a_class_of_ones_own_is_warned_of_too() -> None:
    class Pickling(Config):
        accept_content = ("json", "pickle")

    with pytest.warns(UserWarning, match="accept_content allows pickle"):
        Pickling([])


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]
)
def test_a_copy_is_the_same_configuration(copied: Any) -> None:
    config = Config(["export"], broker_url="memory://")
    assert repr(copied(config).task_routes) == repr(config.task_routes)
    assert copied(config).task_queues == config.task_queues
    assert copied(config).QUEUES == ["export"]


def test_celery_finds_it_by_its_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "told_settings.py").write_text(
        "from cadasta.workertoolbox.conf import Config\n"
        "config = Config(['export'], broker_url='memory://')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    app = Celery("named", set_as_current=False)
    app.config_from_object("told_settings:config")
    assert set(app.amqp.queues) == {"celery", "export", "platform.fifo"}
    app.conf.worker_concurrency = 3
    assert app.conf.worker_concurrency == 3


def test_queues_and_routes_follow_an_exchange_and_a_default_queue_of_ones_own() -> None:
    config = Config(["export"], task_default_exchange="jobs", task_default_queue="main")
    exchange = Exchange("jobs", type="topic")
    assert {queue.name for queue in config.task_queues} == {"main", "export", "platform.fifo"}
    assert all(queue.exchange == exchange for queue in config.task_queues)
    assert config.task_routes["*"]["queue"] == config.task_routes["celery.*"]["queue"] == "main"


@pytest.mark.parametrize("form", [list, lambda queues: {queue.name: queue for queue in queues}])
def test_routes_declare_the_queues_that_were_given(form: Any) -> None:
    queues = [
        Queue("celery", EXCHANGE, routing_key="celery"),
        Queue("all", EXCHANGE, routing_key="#"),
    ]
    routes = Config(["export"], task_queues=form(queues)).task_routes
    assert {queue.name for queue in routes["*"]["declare"]} == {"all", "celery"}


# --- The broker ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "options", "transport"),
    [
        ("memory://", {"polling_interval": 0.05}, "memory"),
        ("amqp://worker@127.0.0.1//", {"confirm_publish": True}, "amqp"),
        ("redis://127.0.0.1:6379/0", {}, "redis"),
        ("sqs://", {"region": "us-west-2", "queue_name_prefix": "dev-"}, "sqs"),
    ],
)
def test_a_broker_url_wins_over_the_transport(url: str, options: Any, transport: str) -> None:
    app = configured("export", broker_url=url, broker_transport="sqs")
    assert app.conf.broker_transport is None
    assert app.conf.broker_transport_options == options
    assert app.connection_for_write().transport.driver_type == transport


def test_of_several_brokers_the_first_one_decides() -> None:
    config = Config([], broker_url=["amqp://a//", "amqp://b//"])
    assert config.broker_transport_options == {"confirm_publish": True}


def test_celerys_own_variable_wins_over_the_transport_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:6379/0")
    assert configured().connection_for_write().transport.driver_type == "redis"


def test_a_transport_without_url_has_its_own_options() -> None:
    assert Config([], broker_transport="memory").broker_transport_options == {
        "polling_interval": 0.05
    }


# --- Internal variables -------------------------------------------------------------------------


def test_the_platform_queue_can_be_renamed() -> None:
    names = {
        queue.name: queue.routing_key for queue in Config([], PLATFORM_QUEUE_NAME="all").task_queues
    }
    assert names == {"celery": "celery", "all": "#"}
    assert Config([]).PLATFORM_QUEUE_NAME == "platform.fifo"


@pytest.mark.parametrize(
    ("name", "variable", "default"),
    [
        ("QUEUE_NAME_PREFIX", "QUEUE_PREFIX", "dev"),
        ("RESULT_DB_USER", "RESULT_DB_USER", "cadasta"),
        ("RESULT_DB_PASS", "RESULT_DB_PASS", "cadasta"),
        ("RESULT_DB_HOST", "RESULT_DB_HOST", "localhost"),
        ("RESULT_DB_PORT", "RESULT_DB_PORT", "5432"),
        ("RESULT_DB_NAME", "RESULT_DB_NAME", "cadasta"),
    ],
)
def test_an_argument_wins_over_a_variable_and_that_over_the_default(
    name: str, variable: str, default: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert getattr(Config([]), name) == default
    monkeypatch.setenv(variable, "")
    assert getattr(Config([]), name) == default
    monkeypatch.setenv(variable, "told")
    assert getattr(Config([]), name) == "told"
    assert getattr(Config([], **{name: "given"}), name) == "given"


@pytest.mark.parametrize("name", ["PLATFORM_QUEUE_NAME", *_OWN])
def test_none_counts_as_unset_where_it_is_no_value(name: str) -> None:
    """``RESULT_DB_PASS=os.environ.get("OUR_PASSWORD")``."""
    assert getattr(Config([], **{name: None}), name) == getattr(Config([]), name)


def test_the_prefix_stands_before_the_names_on_SQS(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_PREFIX", "prod")
    assert Config([]).broker_transport_options["queue_name_prefix"] == "prod-"


def test_results_go_to_the_platforms_database() -> None:
    assert Config([]).result_backend == POSTGRESQL


@pytest.mark.parametrize(
    ("host", "port", "seen"),
    [
        ("db.example.org", "5433", ("db.example.org", 5433)),
        ("db.example.org:6000", "5433", ("db.example.org", 6000)),
        ("::1", "5432", ("::1", 5432)),
        ("[::1]:6000", "5432", ("::1", 6000)),
        ("db.example.org:", "5433", ("db.example.org", 5433)),
        (" db.example.org\n", "5433", ("db.example.org", 5433)),
    ],
)
def test_the_port_is_added_unless_the_host_has_one(host: str, port: str, seen: Any) -> None:
    url = Config([], RESULT_DB_HOST=host, RESULT_DB_PORT=port).result_backend
    parsed = make_url(url.removeprefix("db+"))
    assert (parsed.host, parsed.port) == seen


def test_a_host_that_is_a_directory_is_that_of_a_socket() -> None:
    url = make_url(Config([], RESULT_DB_HOST="/run/postgresql").result_backend.removeprefix("db+"))
    assert (url.host, url.query) == (None, {"host": "/run/postgresql"})


def test_user_and_password_are_percent_encoded() -> None:
    given = {
        "RESULT_DB_USER": "o'neil@work",
        "RESULT_DB_PASS": "p/w:d@#%é",
        "RESULT_DB_NAME": "a b",
    }
    url = make_url(Config([], **given).result_backend.removeprefix("db+"))
    assert (url.username, url.password, url.database) == tuple(given.values())
    assert url.host == "localhost"


# --- What is shown ------------------------------------------------------------------------------


def test_settings_are_shown_and_what_is_the_classs_own_is_not() -> None:
    shown = repr(Config(["export"], worker_concurrency=3))
    assert shown.startswith(
        "Config(queues=['export'], accept_content=['json'], broker_transport='sqs'"
    )
    assert "worker_concurrency=3" in shown
    assert "RESULT_DB" not in shown
    assert "QUEUES" not in shown


@pytest.mark.parametrize(
    "settings",
    [
        {"RESULT_DB_PASS": "s3cr3t"},
        {"RESULT_DB_PASS": "s3cr3t'@/:"},
        {"broker_url": "amqp://worker:s3cr3t@127.0.0.1//"},
        {"broker_url": ["amqp://worker:s3cr3t@a//", "amqp://worker:s3cr3t@b//"]},
        {"broker_url": "amqp://w:s3cr3t@a//;amqp://w:s3cr3t@b//"},
        {"broker_password": "s3cr3t"},
        {"broker_transport_options": {"predefined_queues": {"a": {"secret_access_key": "s3cr3t"}}}},
        {"redis_password": "s3cr3t"},
        {"broker_url": "amqp://worker:s3cr3t'@127.0.0.1//"},
        {"broker_url": "amqp://worker:s3cr3t;s3cr3t s3cr3t@s3cr3t/:@127.0.0.1//"},
        {"broker_url": ("amqp://worker:s3cr3t'@a//", "amqp://worker:s3cr3t@b//")},
        {"result_backend": "db+postgresql://worker@a/b?connect_timeout=3&password=s3cr3t"},
        {"broker_transport_options": {"aws_session_token": "s3cr3t"}},
        {"azureblockblob_connection_string": "AccountKey=s3cr3t"},
    ],
)
def test_a_password_is_never_shown(settings: dict[str, Any]) -> None:
    shown = repr(Config([], **settings))
    assert "s3cr3t" not in shown
    assert "**" in shown


def test_hosts_of_urls_are_shown_whatever_their_passwords() -> None:
    urls = "amqp://w:a@one//;amqp://w:b@two//;redis://three:6379/0"
    shown = repr(Config([], broker_url=urls))
    assert "broker_url='amqp://w:**@one//;amqp://w:**@two//;redis://three:6379/0'" in shown


def test_celerys_own_report_shows_no_password_either() -> None:
    shown: str = configured(RESULT_DB_PASS="s3cr3t").conf.humanize(censored=True)
    assert "s3cr3t" not in shown


# --- As settings of Celery ----------------------------------------------------------------------


@pytest.fixture
def _no_warnings(recwarn: pytest.WarningsRecorder) -> Iterator[None]:
    yield
    assert [str(one.message) for one in recwarn] == []


@pytest.mark.usefixtures("_no_warnings")
def test_celery_takes_the_configuration_as_it_is() -> None:
    app = configured("export", broker_url="memory://")
    app.conf.maybe_warn_deprecated_settings()
    assert set(app.amqp.queues) == {"celery", "export", "platform.fifo"}
    assert app.conf["QUEUES"] == ("export",)
    assert app.conf["PLATFORM_QUEUE_NAME"] == "platform.fifo"


def test_who_only_sends_needs_no_database() -> None:
    app = configured("export", broker_url="memory://", RESULT_DB_HOST="127.0.0.1:1")
    assert app.send_task("export.report").id


def test_a_configuration_is_made_without_a_broker_or_a_database() -> None:
    program = "from cadasta.workertoolbox.conf import Config; Config(['export'])"
    outcome = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "", "")


def test_without_celery_the_toolbox_says_what_to_install() -> None:
    program = "import sys; sys.modules['celery'] = None; import cadasta.workertoolbox.conf"
    outcome = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "ImportError: the worker toolbox needs Celery: type pip install 'headway[celery]'" in (
        outcome.stderr
    )
