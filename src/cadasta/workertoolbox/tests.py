"""What tests that a Celery app's tasks are tracked."""

from headway.toolbox.functional import build_functional_tests

__all__ = ["build_functional_tests"]
