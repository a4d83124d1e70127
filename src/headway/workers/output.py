"""output: keeps what steps say, in one file for each run, or in the store, or in both.

It never says anything of what it does to the output itself, which would come back to it.
"""

import logging
import os
from typing import Any

from headway.adapters.opening import open_store
from headway.errors import DefinitionError, HeadwayError, WireError
from headway.ports.bus import Binding, Queue, QueueKind
from headway.runtime.worker import Worker
from headway.runtime.worker_config import queue_for
from headway.wire import names
from headway.wire.messages import Output
from headway.workers.kept_output import RUN_BYTES, Counted, OutputFiles, OutputRows, is_run_id
from headway.workers.keys import Keys
from headway.workers.redaction import redaction
from headway.workers.step_worker import configure

QUEUE_BYTES = 64 << 20  # waiting at the broker; beyond it the oldest go, and no step is held up
SILENT = logging.CRITICAL + 1


class OutputWorker(Worker):
    """Consumes what is published with the key ``output``."""

    def __init__(
        self,
        mq_config: Any,
        config_file: str | os.PathLike[str] | None = None,
        logger: logging.Logger | None = None,
        **kwargs: Any,
    ) -> None:
        self.keepers: list[Counted] = []
        configure(self, config_file)
        super().__init__(mq_config, config_file, logger, **kwargs)

    def configured(self, keys: Keys) -> None:
        """Raises: DefinitionError."""
        self.redaction = redaction(keys)
        run_bytes = keys.whole("run_bytes", RUN_BYTES, least=1_000, most=1 << 40, unit="bytes")
        directory = keys.text("output_dir") if "output_dir" in keys else None
        store = keys.text("store") if "store" in keys else None
        if directory is None and store is None:
            raise keys.error(
                f"{keys.place} lacks 'output_dir', a directory for a file of each run,"
                " and 'store', the path or URL of a store: give one of them, or both"
            )
        if directory is not None:
            files = OutputFiles(os.path.expanduser(directory), run_bytes=run_bytes)
            self.keepers.append(Counted(files, directory, self._complain))
        if store is not None:
            try:
                rows = OutputRows(open_store(store))
            except HeadwayError as error:
                self._close()
                raise DefinitionError(f"'store' of {keys.place} cannot be used: {error}") from error
            self.keepers.append(Counted(rows, "the store", self._complain))

    def process(
        self, channel: Any, basic_deliver: Any, properties: Any, body: Any, output: Any
    ) -> None:
        """One message, whose correlation id says whose lines they are. Never answered."""
        try:
            said = Output.from_plain(body)
        except WireError as error:
            self._unfit(basic_deliver, str(error))
            return
        run = properties.correlation_id
        if not is_run_id(run):
            self._unfit(basic_deliver, "its correlation id is no run's: 24 lower-case hex digits")
            return
        level = said.level if isinstance(said.level, str) else "info"
        lines = self.redaction.lines(said.message)
        for keeper in self.keepers:
            keeper.keep(run, level, lines)
        self.ack(basic_deliver)

    def _unfit(self, basic_deliver: Any, why: str) -> None:
        self.app_logger.warning("a message of output is not kept: %s", why)
        self.reject(basic_deliver)

    def _consumed_queue(self) -> Queue:
        """``worker.output``, to which what has the key ``output`` leads, and no steps do."""
        queue = queue_for(type(self).__name__, self._config)
        keys = [names.OUTPUT, *(one.key for one in queue.bindings if one.key != queue.name)]
        bindings = tuple(Binding(names.EXCHANGE, key) for key in dict.fromkeys(keys))
        arguments = {"x-max-length-bytes": QUEUE_BYTES, "x-overflow": "drop-head"}
        return queue._replace(kind=QueueKind.CLASSIC, bindings=bindings, arguments=arguments)

    def _least_output(self) -> str | int:
        """Nothing: it would be sent here, and say something again."""
        return SILENT

    def _complain(self, text: str) -> None:
        self.app_logger.warning("%s", text)

    def _leave(self) -> None:
        super()._leave()
        self._close()

    def _close(self) -> None:
        for keeper in self.keepers:
            keeper.close()
