"""The Celery app. All that makes its tasks trackable comes from ``Config``."""

import os
from pathlib import Path

from celery import Celery

from cadasta.workertoolbox.conf import Config

PLACE = Path(os.environ.get("EXPORT_PLACE", "exports")).absolute()


def for_trying_it() -> dict[str, object]:
    """A broker and a database that are files, so that nothing has to be installed or started.

    For more than trying use a real broker: this one loses the task of a worker that is killed.
    """
    messages = PLACE / "messages"
    messages.mkdir(parents=True, exist_ok=True)
    return {
        "broker_url": "filesystem://",
        "broker_transport_options": {
            "data_folder_in": str(messages),
            "data_folder_out": str(messages),
            "control_folder": str(PLACE / "bindings"),
            "polling_interval": 0.05,
        },
        "result_backend": f"db+sqlite:///{PLACE / 'results.db'}",
    }


settings = {} if os.environ.get("CELERY_BROKER_URL") else for_trying_it()

app = Celery("export_service", include=["export_service.tasks"])
app.config_from_object(Config(queues=["export"], **settings))
