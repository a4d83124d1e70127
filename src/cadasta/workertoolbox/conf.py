"""What configures a Celery app so that its tasks are tracked."""

from headway.toolbox.config import Config

__all__ = ["Config"]
