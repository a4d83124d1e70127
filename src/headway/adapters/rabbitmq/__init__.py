"""The bus on RabbitMQ, by pika. Needs the extra ``headway[rabbitmq]``.

Who does what: one thread a bus owns all that is pika's. It drives a *link*: two connections, one
that publishes and one that consumes, because a broker short of memory stops reading from those
who publish, and acknowledgements must still get through. Other threads put *errands* on the
link, many at a time when they are many, and are told what came of them. Lose either connection
and the link is over: all it had under way is failed or void, and the thread makes a new one.

Each exchange published to has a channel of its own, and so has each consumer: a broker answers a
mistake by closing the channel, with everything on it.
"""

from headway.errors import Unavailable

try:
    import pika as pika
except ImportError as missing:
    raise Unavailable(
        "a bus on RabbitMQ needs pika: type pip install 'headway[rabbitmq]'"
    ) from missing
