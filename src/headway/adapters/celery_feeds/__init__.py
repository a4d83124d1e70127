"""Feeds: what brings the messages of a Celery system, one for each kind of broker."""
