"""The user log: what a worker tells those who follow a release, line by line."""

import logging
from collections.abc import Callable
from typing import Any

# Words to how grave they are. An unknown word changes no threshold.
_LEVELS = {
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
    "CRITICAL": logging.CRITICAL,
    "FATAL": logging.CRITICAL,
}
Say = Callable[[str, str], object]


class Output:
    """Logger-like. Each line at or above the threshold is handed to ``say`` with its level."""

    def __init__(self, say: Say, level: str | int = logging.DEBUG) -> None:
        self._say = say
        self._threshold = logging.DEBUG
        self.setLevel(level)

    def setLevel(self, level: str | int) -> None:
        """Say nothing less grave from now on. An unknown level changes nothing."""
        number = _number(level)
        if number is not None:
            self._threshold = number

    def takes(self, level: int) -> bool:
        """Whether a line of this level is at or above the threshold."""
        return level >= self._threshold

    def log(self, level: str | int, message: object, *args: object, **kwargs: Any) -> None:
        number = _number(level)
        grave = logging.INFO if number is None else number
        if not self.takes(grave):
            return
        text = str(message)
        if args:
            # As a logger has it: a single dictionary fills %(name)s.
            filling = args[0] if len(args) == 1 and isinstance(args[0], dict) else args
            try:
                text = text % filling
            except (TypeError, ValueError, KeyError) as error:
                text = f"{text} {args!r} ({error})"
        self._say(_word(grave), text)

    def debug(self, message: object, *args: object, **kwargs: Any) -> None:
        self.log(logging.DEBUG, message, *args)

    def info(self, message: object, *args: object, **kwargs: Any) -> None:
        self.log(logging.INFO, message, *args)

    def warning(self, message: object, *args: object, **kwargs: Any) -> None:
        self.log(logging.WARNING, message, *args)

    def error(self, message: object, *args: object, **kwargs: Any) -> None:
        self.log(logging.ERROR, message, *args)

    def critical(self, message: object, *args: object, **kwargs: Any) -> None:
        self.log(logging.CRITICAL, message, *args)

    warn = warning
    fatal = critical
    exception = error


def _number(level: str | int) -> int | None:
    return level if isinstance(level, int) else _LEVELS.get(str(level).upper())


def _word(number: int) -> str:
    for word in ("critical", "error", "warning", "info"):
        if number >= _LEVELS[word.upper()]:
            return word
    return "debug"
