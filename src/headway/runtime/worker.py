"""The class that workers derive from: override ``process``, say what it needs, run it.

    class FrobWorker(Worker):
        dynamic = ("cart",)

        def process(self, channel, basic_deliver, properties, body, output):
            self.ack(basic_deliver)
            self.send(properties.reply_to, properties.correlation_id, {"status": "started"}, "")
            ...

Source: the seed *re-worker*, its section on implementing a worker.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from headway.errors import DefinitionError, Refused, Unavailable
from headway.ports.bus import Queue, Settlement
from headway.runtime.buses import address_of, make_bus
from headway.runtime.worker_config import queue_for, read_config, stop_limit_s
from headway.runtime.worker_connection import WorkerConnection
from headway.runtime.worker_log import app_logger
from headway.runtime.worker_service import WorkerService


class Worker:
    """Serves one command. Connects when it is made; consumes when it runs.

    ``self.app_logger``: the application log, for administrators: standard error, or standard
    output with ``--log-stdout``.

    ``self.output``: the same as the ``output`` that ``process`` is given: ``debug``, ``info``,
    ``warning``, ``error``, ``critical``, ``log(level, text)``, ``setLevel``; lines for those who
    follow the release. The configuration's ``OUTPUT_LEVEL`` is the threshold.

    ``self._config``: the JSON object of ``config_file``, or ``{}``.

    ``self.serves``: the name of the queue that is consumed.
    """

    #: Names that a step's ``dynamic`` must have; a step without them is answered ``failed`` and
    #: never reaches ``process``.
    dynamic: Sequence[str] = ()
    #: Whether the final answer is sent after ``process`` has returned, by somebody else;
    #: otherwise a step without one is answered ``failed``.
    answers_later = False

    def __init__(
        self,
        mq_config: Mapping[str, Any] | str | WorkerConnection,
        config_file: str | os.PathLike[str] | None = None,
        logger: logging.Logger | None = None,
        **kwargs: Any,
    ) -> None:
        """``mq_config``: ``user``, ``password``, ``server``, ``vhost`` and, where they differ from
        the usual, ``port`` and ``ssl``; or a URL; or the connection of another worker.

        ``config_file``: a JSON object, which becomes ``self._config``. ``logger``: in place of
        one that writes to standard error.

        Raises: DefinitionError for a configuration that is wrong, Refused by the broker. A broker
        that does not answer is waited for.
        """
        self._config: dict[str, Any] = read_config(config_file) if config_file else {}
        self.app_logger = logger or app_logger(type(self).__name__)
        self.output: Any = None  # of the step in hand
        for name in kwargs:
            self.app_logger.warning("the argument %s means nothing to a worker", name)
        shared = isinstance(mq_config, WorkerConnection)
        connection = mq_config if shared else _connection(mq_config, type(self).__name__)
        assert isinstance(connection, WorkerConnection)
        self._shares_connection = shared
        self._service = WorkerService(
            self,
            connection,
            self._consumed_queue(),
            self._least_output(),
            stop_limit_s(self._config),
        )
        self._connect()

    def process(
        self, channel: Any, basic_deliver: Any, properties: Any, body: Any, output: Any
    ) -> Any:
        """Does one step. Called in a thread of its own, never twice at once on one object.

        ``channel``, ``basic_deliver``, ``properties``: pika's on RabbitMQ, and elsewhere with the
        same names. Of the channel's calls a step may make ``basic_ack``, ``basic_nack``,
        ``basic_reject`` and ``basic_publish``, in any thread. ``body``: the step message, any
        JSON object or list. ``output``: logger-like; its lines go to those who follow the release.

        What it returns is only logged: the answer that it sends decides. What it leaves unsettled
        is acknowledged, and if it raises, answered ``failed`` and rejected.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define process")

    def send(
        self,
        topic: str | None,
        corr_id: Any,
        message_struct: Any,
        exchange: str = "re",
        reply_to: str = "log",
    ) -> None:
        """Sends a message with this routing key; with exchange ``""``, to the queue of that name.

        Returns when the message is handed over; a final answer is when the step's output and
        notices have arrived, so that nobody hears of its end before them. An answer whose queue
        or broker is gone is kept and tried again until the step's deadline, or for a minute.
        Where somebody has to serve the message, its confirmation is waited for.

        Raises: WireError for what JSON cannot hold, Rejected when it is too large or nobody
        serves it, Refused, Unavailable.
        """
        self._service.sender.send(topic, corr_id, message_struct, exchange, reply_to)

    def notify(
        self,
        slug: str,
        message: str,
        phase: str,
        corr_id: Any = None,
        target: Sequence[str] | str | None = None,
        exchange: str | None = None,
    ) -> None:
        """Tells those whom the step names for this phase, on every transport that it names.

        ``slug``: the short text, cut to 80 characters. A text in the fifth place is the exchange;
        a list there is of no use any more: the step says whom to tell. Never raises for want of
        listeners, which is counted, and logged once.
        """
        if isinstance(target, str):
            target, exchange = None, exchange or target
        if target is not None:
            self.app_logger.warning("notify's target means nothing: the step says whom to tell")
        self._service.sender.notify(
            slug, message, phase, corr_id, "re" if exchange is None else exchange
        )

    def ack(self, basic_deliver: Any) -> None:
        """Acknowledges the delivery, after all that was sent for it is confirmed."""
        self._service.settler.settle_tag(basic_deliver.delivery_tag, Settlement.ACK)

    def reject(self, basic_deliver: Any, requeue: bool = False) -> None:
        """Rejects the delivery: the message is kept in the queue ``dead`` with the reason.

        With ``requeue``, it is delivered again, to this worker or another.
        """
        how = Settlement.REQUEUE if requeue else Settlement.REJECT
        self._service.settler.settle_tag(basic_deliver.delivery_tag, how)

    def _connect(self) -> None:
        """Connects, and declares what is served: in the constructor, when serving begins, and
        again whenever a lost connection was made anew.
        """
        self._service.connect()

    def _consumed_queue(self) -> Queue:
        """The queue that is consumed, and the keys that lead to it. Raises: DefinitionError."""
        return queue_for(type(self).__name__, self._config)

    def _least_output(self) -> str | int:
        """The least grave output that is sent."""
        level: str | int = self._config.get("OUTPUT_LEVEL", logging.DEBUG)
        return level

    def run_forever(self) -> None:
        """Serves until ``stop``; then finishes the step in hand, with a limit, and disconnects."""
        service = self._service
        try:
            if not service.stopping.is_set():
                self._connect()
                if service.begin():
                    place = service.connection.bus.place
                    self.app_logger.info("serving %s at %s", self.serves, place)
            while service.is_connected_anew():
                self._connect_again()
        except Unavailable:
            if not service.stopping.is_set():
                raise
        finally:
            self._leave()

    def _connect_again(self) -> None:
        try:
            self._connect()
        except Refused as error:
            # What was consumed goes on; a broker that has forgotten our queue says so by itself.
            self.app_logger.warning("connected anew, but: %s", error)

    @property
    def serves(self) -> str:
        """The queue that is served."""
        return self._service.queue.name

    def stop(self) -> None:
        """Has ``run_forever`` return. Any thread, and again, and before it."""
        self._service.stop()

    def _leave(self) -> None:
        service = self._service
        if not service.end():
            limit_s = service.stop_limit_s
            self.app_logger.warning("the step in hand did not end within %g s", limit_s)
        if not self._shares_connection:
            service.connection.close()


def _connection(mq_config: Any, name: str) -> WorkerConnection:
    if not isinstance(mq_config, (str, Mapping)):
        raise DefinitionError(
            f"mq_config is {type(mq_config).__name__}: it must be a dictionary with user,"
            " password, server and vhost, or a URL"
        )
    return WorkerConnection(make_bus(address_of(mq_config), name=name))
