"""Headway brings things to a desired state in the right order, and shows every step."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from headway.jobs.job import DummyJob, Job, RunonlyJob
    from headway.jobs.plan import Plan
    from headway.releases.steps import Step
    from headway.runtime.dojobber import DoJobber

__all__ = ["DoJobber", "DummyJob", "Job", "Plan", "RunonlyJob", "Step"]

_HOMES = {
    "DoJobber": "headway.runtime.dojobber",
    "DummyJob": "headway.jobs.job",
    "Job": "headway.jobs.job",
    "Plan": "headway.jobs.plan",
    "RunonlyJob": "headway.jobs.job",
    "Step": "headway.releases.steps",
}


def __getattr__(name: str) -> Any:
    # Found when first used: `import headway` alone costs nothing.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'headway' has no attribute {name!r}")
    import importlib

    value = globals()[name] = getattr(importlib.import_module(home), name)
    return value
