"""The executor that a person asks for by name, and what is said when there is none."""

import pytest

from headway.adapters.inline import Inline
from headway.adapters.processes import Processes
from headway.adapters.threads import Threads
from headway.errors import DefinitionError
from headway.runtime.executors import make


@pytest.mark.parametrize(
    ("on", "slots", "kind"),
    [
        ("", 1, Inline),
        ("inline", 1, Inline),
        ("", 2, Threads),
        ("threads", 1, Threads),
        ("threads", 16, Threads),
        ("processes", 1, Processes),
        ("processes", 8, Processes),
    ],
)
def test_the_name_and_the_number_of_slots_choose_the_executor(
    on: str, slots: int, kind: type
) -> None:
    executor = make(on, slots)
    assert type(executor) is kind
    assert getattr(executor, "slots", 1) == slots


@pytest.mark.parametrize(
    ("on", "slots", "remedy"),
    [
        ("inline", 2, "--on threads or --on processes"),
        ("thread", 1, "inline, threads, processes or celery"),
        ("celery", 1, "-A proj.celery:app"),
        ("", 0, "a whole number of 1 or more"),
        ("threads", -1, "a whole number of 1 or more"),
        ("threads", True, "a whole number of 1 or more"),
        ("threads", 1.5, "a whole number of 1 or more"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_remedy(on: str, slots: int, remedy: str) -> None:
    with pytest.raises(DefinitionError, match=remedy):
        make(on, slots)
