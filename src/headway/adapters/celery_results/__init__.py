"""A result backend for Celery: the rows of Celery's own, by one statement for each change."""
