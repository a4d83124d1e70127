"""Workers in a plain dictionary: the part of the store in memory that keeps who is there."""

import threading
from collections.abc import Callable, Sequence

from headway.ports.store import storable
from headway.ports.workers import FIRST, WorkerRecord
from headway.releases.presences import Seen
from headway.releases.presences import heard as heard_after
from headway.wire.messages import Presence

_Key = tuple[str, str]  # queue, worker


class MemoryWorkers:
    """Keeps who is there in memory."""

    _lock: threading.RLock

    def __init__(self, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self._workers: dict[_Key, Seen] = {}

    def note_workers(self, heard: Sequence[WorkerRecord]) -> None:
        with self._lock:
            now_us = self._now_us()
            for presence, seen_s in heard:
                key = _key(presence)
                after = heard_after(self._workers.get(key), presence, now_us - round(seen_s * 1e6))
                if isinstance(after, Seen):
                    self._workers[key] = after
            if any(one.presence.state == "left" for one in heard):
                self._forget(lambda one: one.presence.state == "left" and one.lost_at_us < now_us)

    def workers(self, limit: int, after: _Key = FIRST) -> Sequence[WorkerRecord]:
        with self._lock:
            now_us = self._now_us()
            passed = storable(after[0]), storable(after[1])
            return [
                WorkerRecord(one.presence, max(0, now_us - one.heard_us) / 1e6)
                for key, one in sorted(self._workers.items(), key=lambda item: item[0])
                if key > passed and one.presence.state != "left"
            ][:limit]

    def forget_workers(self, lost_before_us: int) -> int:
        with self._lock:
            before_us = min(lost_before_us, self._now_us())
            return self._forget(lambda one: one.lost_at_us < before_us)

    def _forget(self, is_over: Callable[[Seen], bool]) -> int:
        gone = [key for key, one in self._workers.items() if is_over(one)]
        for key in gone:
            del self._workers[key]
        return len(gone)


def _key(presence: Presence) -> _Key:
    return storable(presence.queue), storable(presence.worker)
