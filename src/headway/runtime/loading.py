"""Loads modules by file or name, and what loading a target comes to."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from headway.errors import DefinitionError
from headway.jobs.plan import Plan
from headway.jobs.redaction import Redaction
from headway.releases.surroundings import NOTHING, Surroundings


class UnknownTarget(DefinitionError):
    """What was named is not there, or could be several things: name another."""


class Loaded(NamedTuple):
    """A target, compiled."""

    target: str
    plan: Plan
    definitions: Sequence[Any]
    inputs: Mapping[str, Any]
    name: str = ""  # what it is called, if that is not its root's name
    group: str = ""  # whose it is
    locks: Sequence[str] = ()  # of the runs with one of these, one goes on at a time
    hosts: Sequence[str] = ()  # all that its steps have to do with; none: nobody knows
    width: int = 1  # how many of its steps may be under way at once
    # By name, inputs whose values nobody is to see: where they are ("env:NAME", "file:PATH"), or
    # "" for those that were given as they are, which nobody keeps.
    secrets: Mapping[str, str] = {}
    surroundings: Surroundings = NOTHING  # of a playbook, compiled in

    @property
    def kept_inputs(self) -> dict[str, Any]:
        """The inputs as a store may have them."""
        given = {name: value for name, value in self.inputs.items() if name not in self.secrets}
        return given | {name: ref for name, ref in self.secrets.items() if ref}

    @property
    def redaction(self) -> Redaction | None:
        """What takes the values that nobody is to see out of all that is told and written."""
        values = [str(self.inputs[name]) for name in self.secrets]
        return Redaction(values) if values else None


def load_module(place: str, target: str) -> ModuleType:
    """A module by its file or its name. Raises: DefinitionError, UnknownTarget."""
    if place.endswith(".py") or os.sep in place:
        return _from_file(Path(place))
    if Path(place + ".py").is_file() or Path(place).exists():
        raise UnknownTarget(f"there is no target {target!r}. Did you mean {place}.py?")
    return imported(place)


def imported(place: str) -> ModuleType:
    """A module by its name, also from the working directory. Raises: as ``load_module``."""
    sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is not None and not f"{place}.".startswith(f"{error.name}."):
            raise _broken(place, error) from error
        raise UnknownTarget(
            f"there is no module {place!r}: a target is file.py[:Root] or package.module:Root"
        ) from error
    except (Exception, SystemExit) as error:
        raise _broken(place, error) from error
    finally:
        sys.path.remove(os.getcwd())


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UnknownTarget(f"there is no file {path}: a target is file.py[:Root]")
    directory = str(path.resolve().parent)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    # A name of its own: the file may be called like a module that somebody imports.
    name = f"headway_target_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise DefinitionError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _broken(str(path), error) from error
    return module


def _broken(place: str, error: BaseException) -> DefinitionError:
    where = f"{place}{line_of(place, error)}"
    if isinstance(error, SystemExit):
        return DefinitionError(
            f"{where} ended the program when it was loaded: put what is not to happen then"
            ' under if __name__ == "__main__":'
        )
    return DefinitionError(f"{where} cannot be loaded: {type(error).__name__}: {error}")


def line_of(place: str, error: BaseException) -> str:
    """Where in the file it happened."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f", line {error.lineno}"
    line = ""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(os.path.basename(place)):
            line = f", line {trace.tb_lineno}"
        trace = trace.tb_next
    return line


@contextmanager
def on_path(directory: Path) -> Iterator[None]:
    """Modules are looked for there, too."""
    place = str(directory)
    if place in sys.path:
        yield
        return
    sys.path.insert(0, place)
    try:
        yield
    finally:
        sys.path.remove(place)
