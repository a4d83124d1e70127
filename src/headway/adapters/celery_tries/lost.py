"""News of a process of a Celery worker that was ended while it had an attempt."""

import logging
import sys
from collections.abc import Mapping
from typing import Any

from headway.adapters.celery_tries.line import Publication, connection_of, publish
from headway.adapters.celery_tries.messages import Said

logger = logging.getLogger(__name__)


def tell_lost(app: Any, asked: Mapping[str, Any]) -> None:
    """Tell the run at once. Where this cannot be, the run finds out when the lease has ended.

    Only where the kernel ends what the process had started: elsewhere that may be going on.
    """
    if sys.platform != "linux":
        return
    try:
        said = Said(asked["attempt"], "lost")
        with connection_of(app) as connection:
            publish(connection.Producer(), Publication(asked["replies"], said.text()))
    except Exception as error:
        logger.warning("the run of attempt %s was not told: %s", asked.get("attempt"), error)
