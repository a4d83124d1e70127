"""The application log of a worker: for administrators."""

import logging
import sys
from typing import TextIO

LOG_LINE = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"


class AppLogHandler(logging.StreamHandler[TextIO]):
    """The handler that ``app_logger`` gives a logger. Another that is there is kept."""


def app_logger(name: str, stream: TextIO | None = None) -> logging.Logger:
    """The application log: on standard error unless told otherwise."""
    logger = logging.getLogger(name)
    others = [one for one in logger.handlers if not isinstance(one, AppLogHandler)]
    if stream is not None or not others:
        handler = AppLogHandler(stream or sys.stderr)
        handler.setFormatter(logging.Formatter(LOG_LINE))
        logger.handlers[:] = [handler]
        logger.propagate = False
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    return logger


def process_logger(name: str, stream: TextIO) -> logging.Logger:
    """The same where the process is all the worker's: what Headway itself says goes there too."""
    logger = app_logger(name, stream)
    ours = logging.getLogger("headway")
    ours.handlers[:] = logger.handlers
    ours.propagate = False
    if ours.level == logging.NOTSET:
        ours.setLevel(logging.INFO)
    return logger
