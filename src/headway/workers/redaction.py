"""Hides lines that match what a configuration calls secret, before they are written anywhere."""

import re
from collections.abc import Sequence

from headway.adapters.lines import LONGEST_LINE, shortened
from headway.workers.keys import Keys

REDACTED = "[redacted]"
TOO_LONG = "[redacted: the line is too long to be searched]"


class Redaction:
    """Raw text in, lines out."""

    def __init__(self, patterns: Sequence["re.Pattern[str]"]) -> None:
        self._patterns = patterns

    def lines(self, text: str) -> list[str]:
        """The lines of a text, each whole, cut, or hidden."""
        return [self._line(line) for line in text.removesuffix("\n").split("\n")]

    def _line(self, line: str) -> str:
        if not self._patterns:
            return shortened(line)
        if len(line) > LONGEST_LINE:
            # Cut, it could keep half of a secret that the pattern matches only whole.
            return TOO_LONG
        return REDACTED if any(one.search(line) for one in self._patterns) else line


def redaction(keys: Keys) -> Redaction:
    """The configuration's ``redactions``. Raises: DefinitionError."""
    wanted = "a list of regular expressions"
    patterns = []
    for text in keys.texts("redactions", (), wanted=wanted):
        try:
            pattern = re.compile(text)
        except (re.error, RecursionError, OverflowError) as error:
            raise keys.error(
                f"'redactions' of {keys.place} has {text!r}, which is no regular expression of"
                f" Python's: {error}"
            ) from None
        if pattern.search("") is not None:
            raise keys.error(
                f"'redactions' of {keys.place} has {text!r}, which matches every line: even an"
                " empty one"
            )
        patterns.append(pattern)
    return Redaction(patterns)
