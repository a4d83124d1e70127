"""The drop-in name: ``import dojobber`` for scripts written for DoJobber."""

from headway.errors import DefinitionError
from headway.jobs.job import DummyJob, Job, RunonlyJob
from headway.runtime.dojobber import DoJobber

__all__ = ["DefinitionError", "DoJobber", "DummyJob", "Job", "RunonlyJob"]
