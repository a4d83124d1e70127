"""One command of shell's configuration: its words, the places in them, what may stand there.

    "Restart": {
        "argv": ["/usr/bin/systemctl", "restart", "--", "{service}"],
        "parameters": {"service": {"pattern": "[a-z][a-z0-9-]*"}}
    }

``{name}`` stands for one parameter, alone or within a word; ``{name...}``, alone, for the items of
a list, a word each; ``{host}`` for the step's host. ``{{`` and ``}}`` are braces.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headway.workers.command_parameters import NAME, Parameter, command_parameter
from headway.workers.keys import Keys, StepFailed
from headway.workers.step_worker import Step

TIMEOUT_S = 300.0
LONGEST_TIMEOUT_S = 86_400
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
_MARK = re.compile(r"\{\{|\}\}|\{([A-Za-z_]\w*)(\.\.\.)?\}|[{}]", re.ASCII)
_COMMAND = re.compile(r"\w[\w-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ListedCommand:
    """What ``shell:NAME`` runs."""

    name: str
    template: Sequence[str]
    parameters: Mapping[str, Parameter]
    cwd: str
    environment: Mapping[str, str]
    timeout_s: float
    exit_codes: frozenset[int]

    def argv(self, step: Step) -> list[str]:
        """Its words for a step. Raises: StepFailed."""
        unknown = [name for name in step.parameters.values if name not in self._given]
        if unknown:
            takes = ", ".join(sorted(self._given)) or "none"
            raise StepFailed(
                f"shell:{step.subcommand} has no parameter {unknown[0][:80]!r}: it takes {takes}"
            )
        words = {name: one.words(step) for name, one in self.parameters.items()}
        if any("host" in _places(word) for word in self.template):
            words["host"] = [step.host]
        return [made for word in self.template for made in _filled(word, words)]

    @property
    def _given(self) -> set[str]:
        return {name for name, one in self.parameters.items() if not one.is_dynamic}


def listed_command(name: str, keys: Keys) -> ListedCommand:
    """Raises: DefinitionError."""
    if not _COMMAND.fullmatch(name):
        raise keys.error(f"{keys.place} is no name of a command: letters, digits, _ and -")
    argv = keys.texts("argv", wanted="a list of words, the first of them a program's path")
    if not argv or not _is_program(argv[0]):
        raise keys.wrong(
            "argv",
            "a list of words, the first of them the path, from the root, of"
            " a program that can be run here",
        )
    if any("\0" in word for word in argv):
        raise keys.wrong("argv", "a list of words without the character NUL")
    declared = keys.section("parameters", {})
    parameters = {one: command_parameter(one, said) for one, said in declared.sections()}
    _check_places(keys, argv, parameters)
    cwd = keys.text("cwd", "/", wanted="the path of a directory, from the root")
    if not os.path.isabs(cwd) or not os.path.isdir(cwd):
        raise keys.wrong("cwd", "the path of a directory, from the root")
    command = ListedCommand(
        name,
        argv,
        parameters,
        cwd,
        {**ENVIRONMENT, **_environment(keys)},
        keys.number("timeout_s", TIMEOUT_S, least=0.1, most=LONGEST_TIMEOUT_S, unit="seconds"),
        _exit_codes(keys),
    )
    keys.none_left()
    return command


def _check_places(keys: Keys, argv: Sequence[str], parameters: Mapping[str, Parameter]) -> None:
    if _places(argv[0]):
        raise keys.wrong("argv", "a list whose first word, the program, has no {place}")
    used: set[str] = set()
    for word in argv:
        for mark in _MARK.finditer(word):
            name, many = mark[1], bool(mark[2])
            if name is None:
                if mark[0] in "{}":
                    raise keys.error(
                        f"'argv' of {keys.place} has {word!r}: write {{{{ or }}}} for a brace"
                    )
                continue
            used.add(name)
            known = parameters.get(name)
            if known is None and name != "host":
                raise keys.error(
                    f"'argv' of {keys.place} has {mark[0]}: there is no such parameter;"
                    f" declare it under 'parameters', or write {{{{{name}}}}} for the text itself"
                )
            if many != (known is not None and known.is_list) or (many and mark[0] != word):
                raise keys.error(
                    f"'argv' of {keys.place} has {word!r}: a list is written {{{name}...}}, a word"
                    f" of its own, and anything else {{{name}}}"
                )
    if idle := [name for name in parameters if name not in used]:
        raise keys.error(
            f"'argv' of {keys.place} has no place for the parameter {idle[0]!r}: remove"
            f" it, or write {{{idle[0]}}} where it belongs"
        )


def _environment(keys: Keys) -> Mapping[str, str]:
    section = keys.section("environment", {})
    found = {
        name: section.text(name, pattern=r"[^\0]*", wanted="a text") for name in section.values
    }
    for name in found:
        if not NAME.fullmatch(name):
            raise section.error(f"{section.place} names {name!r}: letters, digits and _ only")
    return found


def _exit_codes(keys: Keys) -> frozenset[int]:
    codes = keys.anything("exit_codes") if "exit_codes" in keys else [0]
    if (
        not isinstance(codes, list)
        or not codes
        or not all(
            isinstance(code, int) and not isinstance(code, bool) and 0 <= code <= 255
            for code in codes
        )
    ):
        raise keys.wrong("exit_codes", "a list of whole numbers from 0 to 255")
    return frozenset(codes)


def _places(word: str) -> list[str]:
    return [mark[1] for mark in _MARK.finditer(word) if mark[1]]


def _filled(word: str, words: Mapping[str, Sequence[str]]) -> list[str]:
    whole = _MARK.fullmatch(word)
    if whole and whole[2]:
        return list(words[whole[1]])

    def put(mark: "re.Match[str]") -> str:
        return words[mark[1]][0] if mark[1] else mark[0][0]

    return [_MARK.sub(put, word)]


def _is_program(path: str) -> bool:
    return os.path.isabs(path) and os.path.isfile(path) and os.access(path, os.X_OK)
