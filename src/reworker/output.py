"""What ``process`` is given to report progress with."""

from headway.runtime.worker_output import Output

__all__ = ["Output"]
