"""What a step may give to a listed command, and how that is checked before it becomes a word."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from headway.workers.keys import Keys, StepFailed, compiled
from headway.workers.step_worker import OWN, Step

LONGEST_VALUE = 255  # characters, unless a parameter says otherwise
MOST_ITEMS = 100  # of a list
NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TAKEN = ("host", *OWN)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class _Unfit(Exception):
    """What a value is, or must be; its name goes before."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a step may give by one name."""

    name: str
    pattern: "re.Pattern[str] | None"
    choices: Sequence[str]
    is_list: bool
    default: Sequence[str] | None  # its words; None: a step has to give it
    may_begin_with_dash: bool
    longest: int
    is_dynamic: bool

    def words(self, step: Step) -> Sequence[str]:
        """What a step gives, checked. Raises: StepFailed."""
        given = step.dynamic if self.is_dynamic else step.parameters.values
        if self.name in given:
            try:
                return self.checked(given[self.name])
            except _Unfit as error:
                raise StepFailed(f"{self.name!r} of shell:{step.subcommand} {error}") from None
        if self.default is None:
            where = "dynamic value" if self.is_dynamic else "parameter"
            raise StepFailed(f"shell:{step.subcommand} lacks the {where} {self.name!r}")
        return self.default

    def checked(self, value: Any) -> Sequence[str]:
        """Raises: _Unfit."""
        items = value if self.is_list else [value]
        if not isinstance(items, list) or len(items) > MOST_ITEMS:
            raise _Unfit(f"must be a list of at most {MOST_ITEMS} items")
        return [self._word(item) for item in items]

    def _word(self, value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise _Unfit("must be a text or a whole number")
        if len(value) > self.longest:
            raise _Unfit(f"has {len(value)} characters: at most {self.longest}")
        if _CONTROL.search(value):
            raise _Unfit("holds a control character")
        if value.startswith("-") and not self.may_begin_with_dash:
            raise _Unfit("begins with -, as an option does")
        if self.choices and value not in self.choices:
            raise _Unfit(f"must be one of {', '.join(self.choices)}")
        if self.pattern is not None and not self.pattern.fullmatch(value):
            raise _Unfit(f"must match {self.pattern.pattern}")
        return value


def command_parameter(name: str, keys: Keys) -> Parameter:
    """One parameter that a command declares. Raises: DefinitionError."""
    if not NAME.fullmatch(name) or name in _TAKEN:
        raise keys.error(
            f"{keys.place} cannot be a parameter's name: letters, digits and _, and none of"
            f" {', '.join(_TAKEN)}"
        )
    has_pattern = "pattern" in keys
    pattern = compiled(keys, "pattern", keys.text("pattern")) if has_pattern else None
    choices = keys.texts("choices", ())
    if pattern is None and not choices:
        raise keys.error(f"{keys.place} lacks 'pattern' or 'choices': say what may stand there")
    made = Parameter(
        name,
        pattern,
        choices,
        keys.yes_no("list", False),
        None,
        keys.yes_no("dash", False),
        keys.whole("longest", LONGEST_VALUE, least=1, most=100_000, unit="characters"),
        keys.yes_no("dynamic", False),
    )
    if "default" in keys:
        try:
            made = replace(made, default=made.checked(keys.anything("default")))
        except _Unfit as error:
            raise keys.error(f"'default' of {keys.place} {error}") from None
    keys.none_left(passed=("default",))
    return made
