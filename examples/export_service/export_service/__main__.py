"""``python -m export_service FILE``: has the catalogue exported, and waits for the file."""

import sys
import time

from .celery import PLACE
from .tasks import catalogue

DEADLINE_S = 60


def main(file: str) -> int:
    sent = catalogue.delay(file)
    print(f"sent as {sent.id}")
    ends_at = time.monotonic() + DEADLINE_S
    while not (PLACE / file).exists():
        if time.monotonic() > ends_at:
            print(f"{file} is not there yet: is a Celery worker running?", file=sys.stderr)
            return 1
        time.sleep(0.1)
    print((PLACE / file).read_text("utf-8"), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
