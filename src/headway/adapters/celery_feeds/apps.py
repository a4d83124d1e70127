"""From a Celery app, or a broker's URL, to the feed that hears it."""

import re
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from headway.adapters.bus_address import RabbitAddress, parse_bus_url, refuse_guest
from headway.adapters.celery_feeds.system import (
    CONTROL,
    EVENT_EXCHANGE,
    PLATFORM_QUEUE,
    System,
    TaskExchange,
)
from headway.errors import DefinitionError, HeadwayError, Unavailable
from headway.ports.tracking import Feed

_AMQP = ("amqp", "amqps")
_DOUBLED = re.compile(r"(?<=[^:/])//(?=$|\?)")
_NAME = re.compile(r"\w+(\.\w+)*(:\w+(\.\w+)*)?")  # of an app, as for celery -A


def feed_of_broker(url: str, system: System, now_us: Callable[[], int]) -> Feed:
    """Raises: DefinitionError for no URL of a broker, Refused, Unavailable without Celery."""
    scheme, separator, _ = url.strip().lower().removeprefix("py").partition("://")
    if not scheme or not separator:
        raise DefinitionError("a broker's URL begins with amqp://, redis://, sqs:// or the like")
    if scheme in _AMQP:
        return _rabbit_feed([_parsed(one) for one in url.split(";")], system, now_us)
    from headway.adapters.celery_feeds.kombu import KombuFeed

    celery = _celery()
    app = celery.Celery("headway-monitor", broker=url, set_as_current=False)
    require_transport(app)
    return KombuFeed(app, system, now_us)


def feed_of_app(app: Any, system: System, now_us: Callable[[], int]) -> Feed:
    """Raises: as ``feed_of_broker``."""
    connection = require_transport(app)
    if connection.transport.driver_type == "amqp":
        return _rabbit_feed(_addresses(connection), system, now_us)
    from headway.adapters.celery_feeds.kombu import KombuFeed

    return KombuFeed(app, system, now_us)


def load_app(name: str) -> Any:
    """A Celery app as Celery's own -A names it. Raises: DefinitionError, Unavailable."""
    celery = _celery()
    from celery.app.utils import find_app

    try:
        if not _NAME.fullmatch(name):
            raise ImportError("that is no name of a module")
        found = find_app(name)
        if not isinstance(found, celery.Celery):
            raise ImportError(f"that is a {type(found).__name__}")
    except (ImportError, AttributeError) as error:
        raise DefinitionError(
            f"there is no Celery app {name!r} ({error}): name it as for celery -A, for example"
            " proj.celery:app, in the directory that holds proj"
        ) from error
    except HeadwayError:
        raise
    except Exception as error:  # the module's own
        raise DefinitionError(
            f"the module of the Celery app {name!r} cannot be imported: {type(error).__name__}:"
            f" {error}; python -c 'import {name.partition(':')[0]}' shows where"
        ) from error
    return found


def system_of(app: Any, *, queue: str | None, with_events: bool) -> System:
    """What an app's configuration says of where its tasks go."""
    conf = app.conf
    queues = list(app.amqp.queues.values())
    return System(
        queue or _platform_queue(conf, queues),
        _exchanges(conf, queues),
        with_events,
        conf.event_exchange or EVENT_EXCHANGE,
        conf.control_exchange or CONTROL,
    )


def _platform_queue(conf: Any, queues: Sequence[Any]) -> str:
    """As headway's Config calls it; else the one that is bound to hear everything."""
    named = conf.get("PLATFORM_QUEUE_NAME")
    bound = next((one.name for one in queues if one.routing_key == "#"), None)
    return str(named or bound or PLATFORM_QUEUE)


def _exchanges(conf: Any, queues: Iterable[Any]) -> list[TaskExchange]:
    found: dict[str, tuple[str, list[str]]] = {}
    for queue in queues:
        exchange = queue.exchange
        if exchange is None or queue.routing_key == "#":
            continue
        _, keys = found.setdefault(exchange.name or "", (exchange.type or "", []))
        keys.append(queue.routing_key or queue.name)
    if not found:
        name = conf.task_default_exchange or conf.task_default_queue
        found[name] = (conf.task_default_exchange_type, [])
    return [TaskExchange(name, kind, tuple(keys)) for name, (kind, keys) in found.items()]


def _celery() -> Any:
    try:
        import celery
    except ImportError as missing:
        raise Unavailable("this needs Celery: type pip install 'headway[celery]'") from missing
    return celery


def mistaken_broker(app: Any) -> str:
    """Why an app talks to another broker than its URL names; "" where it does not."""
    from kombu.transport import TRANSPORT_ALIASES

    transport, urls = app.conf.broker_transport, app.conf.broker_write_url or ""
    url = urls if isinstance(urls, str) else str(next(iter(urls), ""))
    scheme = url.partition("://")[0].lower()
    named = TRANSPORT_ALIASES.get(scheme)
    if not transport or named in (None, TRANSPORT_ALIASES.get(transport, transport)):
        return ""
    return (
        f"broker_transport {transport!r} stands beside a broker_url that begins with {scheme}://,"
        " and Celery goes by the first: give the URL to Config(broker_url=...), or in"
        " CELERY_BROKER_URL, and not to Celery(broker=...)"
    )


def require_transport(app: Any) -> Any:
    """The app's connection, not yet open. Raises: DefinitionError, Unavailable."""
    if mistaken := mistaken_broker(app):
        raise DefinitionError(mistaken)
    try:
        connection = app.connection_for_read()
        connection.transport  # noqa: B018 - imports the client of that broker
    except ImportError as error:
        raise Unavailable(
            f"the client of the broker is missing ({error}): type pip install"
            " 'celery[redis]' for Redis, 'headway[sqs]' for SQS"
        ) from error
    except KeyError as error:
        raise DefinitionError(f"Celery knows no broker {error}: check the URL's scheme") from error
    return connection


def _rabbit_feed(
    addresses: Sequence[RabbitAddress], system: System, now_us: Callable[[], int]
) -> Feed:
    try:
        from headway.adapters.celery_feeds.rabbitmq import RabbitFeed
    except ImportError as missing:
        raise Unavailable(
            "to listen to RabbitMQ needs pika: type pip install 'headway[rabbitmq]'"
        ) from missing

    return RabbitFeed(addresses, system, now_us)


def _parsed(url: str) -> RabbitAddress:
    """Celery writes the vhost / as //, and pyamqp for amqp."""
    address = parse_bus_url(_DOUBLED.sub("/%2F", url.strip().removeprefix("py")))
    if not isinstance(address, RabbitAddress):
        raise DefinitionError("of several brokers all begin with amqp:// or amqps://")
    return address


def _addresses(connection: Any) -> list[RabbitAddress]:
    """All that the app would try, in its order. Raises: Refused."""
    import kombu

    urls = connection.alt or [None]
    options = connection.ssl
    return [_address(connection if url is None else kombu.Connection(url), options) for url in urls]


def _address(connection: Any, options: Any) -> RabbitAddress:
    given: Mapping[str, Any] = connection.info()
    tls = bool(options)
    files = options if isinstance(options, dict) else {}
    if files.get("cert_reqs") in (ssl.CERT_NONE, ssl.CERT_OPTIONAL):
        raise DefinitionError(
            "the app's broker_use_ssl does not verify the broker's certificate: give ca_certs and"
            " leave cert_reqs out"
        )
    return refuse_guest(
        RabbitAddress(
            host=given["hostname"] or "localhost",
            user=given["userid"] or "guest",
            password=given["password"] or "guest",
            vhost=given["virtual_host"] or "/",
            port=given["port"] or (5671 if tls else 5672),
            tls=tls,
            cacertfile=files.get("ca_certs"),
            certfile=files.get("certfile"),
            keyfile=files.get("keyfile"),
            server_name=files.get("server_hostname"),
        )
    )
