"""The worker toolbox: Celery configured so that every task is tracked, and tests that it is.

config      the configuration: Celery's settings, and why each is what it is
platform    the queue that hears everything, which only the monitor consumes
apart       an app's messages among exchanges and queues of their own, for a test
deliveries  what is sent that way, and where it arrives
rules       what must hold of that, in plain sentences
functional  the rules as tests of an app
result_tables  the script that makes the tables of results, and a role for them
"""

try:
    import celery as _celery  # noqa: F401
except ImportError as missing:
    raise ImportError(
        "the worker toolbox needs Celery: type pip install 'headway[celery]', or 'headway[sqs]'"
    ) from missing
