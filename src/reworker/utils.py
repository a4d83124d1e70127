"""Makes a notification of a step."""

from headway.wire.messages import step_to_notification_format

__all__ = ["step_to_notification_format"]
