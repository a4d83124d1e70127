"""The Celery app of bench/track.py: sends tasks, or works through them, as its environment says.

BROKER     its URL; queues are emptied before tasks are sent
STORE      nothing, db or headway: where results go
DATABASE   the URL of the database for them
COPY       with or without: whether the platform queue hears each task
MARKS      the file to which the Celery worker writes its clock and its CPU seconds
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from celery import Celery

from cadasta.workertoolbox.conf import Config

STORE = os.environ["STORE"]
settings: dict[str, Any] = {"task_ignore_result": True}
if STORE != "nothing":
    settings = {"result_backend": f"{STORE}+{os.environ['DATABASE']}"}
app = Celery("track_app")
app.config_from_object(Config(["export"], broker_url=os.environ["BROKER"], **settings))
if os.environ["COPY"] == "without":
    queues = [one for one in app.conf.task_queues if one.name != "platform.fifo"]
    app.conf.task_queues = queues
    app.conf.task_routes = {"*": {"queue": "export", "declare": queues}}


@app.task(name="export.nothing")
def nothing(number: int) -> int:
    return number


@app.task(name="export.mark", ignore_result=True)
def mark() -> None:
    pids = {os.getpid(), os.getppid()} if "prefork" in sys.argv else {os.getpid()}
    with open(os.environ["MARKS"], "a") as marks:
        marks.write(f"{time.time()} {sum(map(cpu_s, pids))}\n")


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def send(number: int) -> float:
    """Seconds; the queues are new, and hold nothing else."""
    with app.connection_for_write() as connection:
        channel = connection.channel()
        for name in ("export", "celery", "platform.fifo"):
            channel.queue_delete(name)
    for one in range(50):
        nothing.delay(one)  # a worker has much to do when it is new
    mark.delay()
    began = time.perf_counter()
    for one in range(number):
        nothing.delay(one)
    took = time.perf_counter() - began
    mark.delay()
    return took


if __name__ == "__main__":
    if sys.argv[1] == "send":
        print(send(int(sys.argv[2])))
    else:
        app.worker_main(sys.argv[1:])
