"""The configuration of a Celery app all of whose tasks, and their results, can be tracked."""

import os
import re
import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from celery.app import defaults
from kombu import Exchange, Queue

from headway.errors import DefinitionError
from headway.toolbox import platform

# What is the class's own: the variable that fills it, and what it is without. An empty variable
# counts as unset.
_OWN: Mapping[str, tuple[str, str]] = {
    "QUEUE_NAME_PREFIX": ("QUEUE_PREFIX", "dev"),
    "RESULT_DB_USER": ("RESULT_DB_USER", "cadasta"),
    "RESULT_DB_PASS": ("RESULT_DB_PASS", "cadasta"),
    "RESULT_DB_HOST": ("RESULT_DB_HOST", "localhost"),
    "RESULT_DB_PORT": ("RESULT_DB_PORT", "5432"),
    "RESULT_DB_NAME": ("RESULT_DB_NAME", "cadasta"),
}
# Celery itself looks at the first one, before any setting.
_BROKER_VARIABLES = ("CELERY_BROKER_URL", "CELERY_BROKER_WRITE_URL", "CELERY_BROKER_READ_URL")
_BROKER_SETTINGS = ("broker_url", "broker_write_url", "broker_read_url")
_SQS = "sqs"
_SQS_REGION = "us-west-2"
POLLING_S = 0.05  # where a broker is polled that costs nothing; kombu's own is a second

_PICKLE = ("pickle", "application/x-python-serialize")
_SERIALIZED = ("task_serializer", "result_serializer", "event_serializer", "accept_content",
               "result_accept_content")  # fmt: skip
_PATTERN = frozenset("*#?[]")  # of binding keys, and of the names of tasks in routes
# Up to the last @ of each URL: whoever did not encode a password has anything in it.
_IN_URL = re.compile(r"(://[^:/@]*):(?:(?![;,\s]+[\w+.-]+://).)*@", re.DOTALL)
_IN_QUERY = re.compile(r"([?&](?:password|sslpassword)=)[^&;]*", re.IGNORECASE)
_SECRET = re.compile(r"password|secret|token|connection_string|_pass$", re.IGNORECASE)
_MASK = "**"


class Config:
    """The settings of a Celery app, ready for ``app.config_from_object(Config(queues=[...]))``.

    Any Celery setting may be given by its lower-case name, and is then what was given. Lower-case
    names are Celery's and are shown by ``repr``; upper-case ones are the class's own. A class
    that inherits from this one may give either as attributes.

    All queues hang on one topic exchange; the platform queue is bound to it by ``#`` and hears
    everything. Each route declares all of them, because some brokers (SQS) keep declarations in
    the memory of each connection only, and others drop what is sent before anybody has declared.

    Raises: DefinitionError for queues that are none, and for a setting by Celery's old name.
    """

    def __init__(self, queues: Collection[str], **settings: Any) -> None:
        names = _names(queues)
        _require_new_names(settings)
        # Of what is the class's own, None says no more than an empty variable does.
        own = ("PLATFORM_QUEUE_NAME", *_OWN)
        self.__dict__.update(
            (name, value)
            for name, value in settings.items()
            if value is not None or name not in own
        )
        self.QUEUES = queues
        self._default("PLATFORM_QUEUE_NAME", platform.NAME)
        for name, (variable, otherwise) in _OWN.items():
            self._default(name, os.environ.get(variable) or otherwise)
        self._serializers()
        self._broker()
        self._results()
        self._tasks(names)
        _warn_of_pickle(self)
        platform.guard()

    if TYPE_CHECKING:  # the settings, whichever they are

        def __getattr__(self, name: str) -> Any: ...

    def __repr__(self) -> str:
        shown = [f"queues={self.QUEUES!r}"]
        inherited = {
            name: value for name in dir(type(self)) if not callable(value := getattr(self, name))
        }
        for name, value in sorted({**inherited, **self.__dict__}.items()):
            if name[0] != "_" and name == name.lower():
                shown.append(f"{name}={_shown(name, value)}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def _default(self, name: str, value: Any) -> None:
        """What the class of who inherits says counts as given."""
        if not hasattr(type(self), name):
            self.__dict__.setdefault(name, value)

    def _get(self, name: str, otherwise: Any = None) -> Any:
        return getattr(self, name, otherwise)

    def _serializers(self) -> None:
        self._default("task_serializer", "json")
        self._default("result_serializer", "json")
        self._default("accept_content", ["json"])

    def _broker(self) -> None:
        url = self._broker_url()
        if url is None:
            self._default("broker_transport", _SQS)
            transport = str(self._get("broker_transport")).lower()
        else:
            # To kombu an explicit transport would win over the one that the URL names.
            self.__dict__.pop("broker_transport", None)
            if hasattr(type(self), "broker_transport"):
                self.__dict__["broker_transport"] = None
            transport = urlsplit(url).scheme.lower()
        self._default("broker_transport_options", self._transport_options(transport))

    def _broker_url(self) -> str | None:
        given = [os.environ.get(name) for name in _BROKER_VARIABLES]
        given += [self._get(name) for name in _BROKER_SETTINGS]
        urls = [one[0] if isinstance(one, list | tuple) else one for one in given if one]
        return str(urls[0]) if urls else None

    def _transport_options(self, transport: str) -> dict[str, Any]:
        if transport == _SQS:
            return {
                "region": _SQS_REGION,
                "queue_name_prefix": f"{self._get('QUEUE_NAME_PREFIX')}-",
            }
        if transport in ("amqp", "amqps", "pyamqp"):
            return {"confirm_publish": True}  # else what a broker refuses is lost in silence
        if transport in ("memory", "filesystem"):
            return {"polling_interval": POLLING_S}
        return {}

    def _results(self) -> None:
        self._default("result_backend", self._database_url())
        self._default("task_track_started", True)
        # Who only sends needs no database: the tables are made, or found, by who stores first.
        self._default("database_create_tables_at_setup", False)

    def _database_url(self) -> str:
        user, password, name = (
            quote(str(self._get(f"RESULT_DB_{part}")), safe="") for part in ("USER", "PASS", "NAME")
        )
        host = str(self._get("RESULT_DB_HOST"))
        port = str(self._get("RESULT_DB_PORT"))
        if host.startswith("/"):  # the directory of a Unix socket
            where, query = f":{port}", f"?host={quote(host, safe='')}"
        else:
            where, query = _with_port(host, port), ""
        return f"db+postgresql://{user}:{password}@{where}/{name}{query}"

    def _tasks(self, names: Iterable[str]) -> None:
        self._default("task_default_exchange", "task_exchange")
        self._default("task_default_exchange_type", "topic")
        # A queue made up on the way would have an exchange of its own, and no copy for the monitor.
        self._default("task_create_missing_queues", False)
        default = str(self._get("task_default_queue") or "celery")
        heard_by_all = str(self._get("PLATFORM_QUEUE_NAME"))
        own = [name for name in dict.fromkeys(names) if name not in (default, heard_by_all)]
        self._default("task_queues", self._queues(default, heard_by_all, own))
        self._default("task_routes", self._routes(default, own))

    def _queues(self, default: str, heard_by_all: str, own: Iterable[str]) -> set[Queue]:
        exchange = Exchange(
            self._get("task_default_exchange"), type=self._get("task_default_exchange_type")
        )
        queues = {Queue(name, exchange, routing_key=name) for name in (default, *own)}
        return queues | {
            platform.PlatformQueue(heard_by_all, exchange, routing_key=platform.HEARS_ALL)
        }

    def _routes(self, default: str, own: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The last one takes what the others leave: without a route nothing would be declared.

        The first that fits is taken, so ``export.pdf.*`` stands before ``export.*``.
        """
        every = _declared(self._get("task_queues"))
        named = {"celery": default} | {name: name for name in own}
        nearest_first = sorted(named, key=lambda name: -name.count("."))
        routes = {f"{name}.*": named[name] for name in nearest_first} | {"*": default}
        return {pattern: {"queue": queue, "declare": every} for pattern, queue in routes.items()}


def _names(queues: Collection[str]) -> list[str]:
    if isinstance(queues, str) or not isinstance(queues, Collection):
        raise DefinitionError(
            f"queues is {queues!r}: it lists names of queues, as in queues=['export']"
        )
    for name in queues:
        if not isinstance(name, str) or not name or _PATTERN.intersection(name):
            raise DefinitionError(
                f"{name!r} in queues is no name of a queue: it is text without any of * # ? [ ]"
            )
    return list(queues)


def _require_new_names(settings: Mapping[str, Any]) -> None:
    """Celery would pass over some of the old ones in silence."""
    renamed: Mapping[str, str] = getattr(defaults, "_TO_NEW_KEY", {})
    for name in renamed.keys() & settings.keys():
        raise DefinitionError(f"{name} is an old name of Celery's: write {renamed[name]}")


def _declared(queues: Any) -> list[Queue]:
    """Every queue of the setting ``task_queues``, always in the same order."""
    found = queues.values() if isinstance(queues, Mapping) else queues or ()
    return sorted((one for one in found if isinstance(one, Queue)), key=lambda one: one.name)


def _with_port(host: str, port: str) -> str:
    host = host.strip().removesuffix(":") or "localhost"
    if host.count(":") > 1 and not host.startswith("["):
        host = f"[{host}]"  # an IPv6 address
    return host if re.search(r":\d+$", host) else f"{host}:{port}"


def _shown(name: str, value: Any) -> str:
    """The ``repr`` of a setting, without the passwords in it."""
    if value and _SECRET.search(name):
        return repr(_MASK)
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{key!r}: {_shown(str(key), one)}" for key, one in value.items()) + "}"
        )
    if isinstance(value, list | tuple):
        shown = ", ".join(_shown("", one) for one in value)
        return f"[{shown}]" if isinstance(value, list) else f"({shown},)" if value else "()"
    if isinstance(value, str):
        return repr(_masked(value))
    return _masked(repr(value))


def _masked(text: str) -> str:
    return _IN_QUERY.sub(rf"\1{_MASK}", _IN_URL.sub(rf"\1:{_MASK}@", text))


def _warn_of_pickle(config: Config) -> None:
    for name in _SERIALIZED:
        value = getattr(config, name, None)
        if any(one in _PICKLE for one in ([value] if isinstance(value, str) else value or ())):
            warnings.warn(
                f"{name} allows pickle: whoever can send a message or write a result can then run"
                " code where it is read, and the monitor shows such tasks without their contents;"
                " leave it json",
                stacklevel=3,
            )
