"""What is known of a Celery task: a fold over what was heard of it, whatever the order."""
