"""Celery's door to the rows: ``result_backend = 'headway+postgresql://user@host/database'``.

What a task returned is written as by Celery's own database backend, and read by either. What this
one spares its workers: objects for each row, a query before each change, a new connection for each
change. What it refuses: to write anything but JSON, and to read what is pickled.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from celery.backends.base import BaseBackend
from celery.result import result_from_tuple
from celery.utils.time import maybe_timedelta

from headway.adapters.celery_results.rows import TRIES, ResultRows
from headway.adapters.opening import database_opener
from headway.errors import DefinitionError, HeadwayError, Rejected, Unavailable
from headway.ports.store import storable

_SCHEMES = ("postgresql://", "postgres://", "sqlite:///")
_FORMS = "headway+postgresql://user@host/database or headway+sqlite:///path"
# Settings of Celery's own database backend that would have other rows written, or elsewhere.
_OTHERS = ("database_table_names", "database_table_schemas")
_WRITTEN = ("args", "kwargs")  # encoded by Celery, where results are extended


class HeadwayBackend(BaseBackend):  # type: ignore[misc]
    """Results in ``celery_taskmeta``, groups in ``celery_tasksetmeta``.

    Threads: one backend serves all of them. Processes: see ``rows.Connections``.
    """

    stores_in_database = True  # as the toolbox asks
    subpolling_interval = 0.5  # as Celery's: how often a waiting GroupResult asks

    def __init__(self, app: Any, url: str | None = None, **options: Any) -> None:
        """Raises: DefinitionError for settings with which it cannot keep its word."""
        super().__init__(app, expires_type=maybe_timedelta, url=url, **options)
        self.thread_safe = True
        _check(app, url or "", self.serializer)
        self._retry_unless_set(app.conf)
        self._extended = bool(app.conf.result_extended)
        try:
            self._rows = ResultRows(database_opener(url or ""), extended=self._extended)
        except HeadwayError as error:
            raise DefinitionError(f"result_backend cannot be used: {error}") from error

    def _retry_unless_set(self, conf: Any) -> None:
        if not conf.value_set_for("result_backend_always_retry"):
            self.always_retry = True
        if not conf.value_set_for("result_backend_max_retries"):
            self.max_retries = TRIES

    def exception_safe_to_retry(self, error: Exception) -> bool:
        """A change that may have been made is made again: it leaves the same row."""
        return isinstance(error, Unavailable)

    def rehearse(self) -> None:
        """Store a result and take it back. Raises: HeadwayError saying what is wrong."""
        self._rows.rehearse(self._now())

    # What Celery's base class asks for

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any = None,
        request: Any = None,
        **_: Any,
    ) -> None:
        now = self._now()
        children = self.current_task_children(request)
        row = {
            "status": state,
            "result": self._encoded(result),
            "date_done": now if state in self.READY_STATES else None,
            "traceback": _text(traceback),
            "children": self._encoded(children) if children else None,
        }
        if self._extended:
            row.update(self._told_of(request))
        self._rows.store(task_id, row, now)

    def _get_task_meta_for(self, task_id: str) -> Any:
        row = self._rows.read(task_id)
        if row is None:
            row = {**dict.fromkeys(self._rows.columns), "status": "PENDING"}
        meta = {"task_id": task_id, **row}
        for name in ("result", "children", *_WRITTEN):
            if meta.get(name) is not None:
                meta[name] = self._decoded(meta[name], name, task_id)
        stamps = meta.pop("stamps", None)
        if stamps is not None:
            meta.update(_stamped(self._decoded(stamps, "stamps", task_id)))
        return self.meta_from_decoded(meta)

    def task_result_exists(self, task_id: str) -> bool:
        return self._ensure_retryable(self._rows.read, task_id) is not None

    def _forget(self, task_id: str) -> None:
        self._rows.forget(task_id)

    def _save_group(self, group_id: str, result: Any) -> Any:
        self._rows.store_group(group_id, self._encoded(self.prepare_value(result)), self._now())
        return result

    def _restore_group(self, group_id: str) -> dict[str, Any] | None:
        group = self._rows.read_group(group_id)
        if group is None:
            return None
        value = self._decoded(group.result, "result", group_id)
        return {
            "taskset_id": group_id,
            "result": value if value is None else result_from_tuple(value, self.app),
            "date_done": group.done,
        }

    def _delete_group(self, group_id: str) -> None:
        self._rows.forget_group(group_id)

    def cleanup(self) -> None:
        """Forget what was done longer ago than ``result_expires`` has it."""
        if self.expires:
            self._ensure_retryable(self._rows.forget_before, self._now() - self.expires)

    def __reduce__(self, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        return super().__reduce__(args, {**(kwargs or {}), "url": self.url})

    # What it is made of

    def _now(self) -> datetime:
        return datetime.now(UTC).replace(tzinfo=None)

    def _encoded(self, value: Any) -> bytes:
        encoded = self.encode(value)
        return encoded if isinstance(encoded, bytes) else str(encoded).encode()

    def _decoded(self, stored: bytes | str, column: str, id: str) -> Any:
        try:
            return self.decode(stored)
        except Exception as error:  # whatever it is, it is not what is written here
            raise Rejected(
                f"the {column} of {id} in {self.as_uri()} is not JSON, and nothing else is ever"
                " opened (an older Celery wrote pickles): look at the row with headway tasks, or"
                " forget() it"
            ) from error

    def _told_of(self, request: Any) -> dict[str, Any]:
        """What extended results say of the task. Celery's own way to put it together does so for
        the others as well, which costs them a quarter of all that they take."""
        meta = self._get_result_meta(
            result=None, state="", traceback=None, request=request, format_date=False, encode=True
        )
        return {
            "name": _text(meta.get("name")),
            "args": meta.get("args"),
            "kwargs": meta.get("kwargs"),
            "worker": _text(meta.get("worker")),
            "retries": meta.get("retries"),
            "queue": _text(meta.get("queue")),
            "stamps": self._stamps(meta),
        }

    def _stamps(self, meta: Mapping[str, Any]) -> bytes | None:
        names = meta.get("stamped_headers")
        if not names:
            return None
        stamps = {name: meta[name] for name in names if name in meta}
        return self._encoded({"stamped_headers": names, "stamps": stamps})


def _check(app: Any, url: str, serializer: str) -> None:
    if not url.startswith(_SCHEMES):
        raise DefinitionError(f"result_backend is {_FORMS}, and nothing else after headway+")
    if serializer != "json":
        raise DefinitionError(
            f"headway's result backend stores JSON only, and result_serializer is {serializer!r}:"
            " set it to 'json'"
        )
    for setting in _OTHERS:
        if app.conf.get(setting):
            raise DefinitionError(
                f"headway's result backend stores in Celery's own tables only: remove {setting}"
            )


def _text(value: Any) -> str | None:
    return None if value is None else storable(str(value))


def _stamped(stamps: Any) -> dict[str, Any]:
    """Raises nothing: what stamped a task is not what it returned."""
    if not isinstance(stamps, dict) or not isinstance(stamps.get("stamps"), dict):
        return {}
    return {"stamped_headers": stamps.get("stamped_headers"), **stamps["stamps"]}
