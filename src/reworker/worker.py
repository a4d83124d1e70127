"""The class that workers derive from, and what runs one from a command line."""

from headway.runtime.worker import Worker
from headway.runtime.worker_runner import runner

__all__ = ["Worker", "runner"]
