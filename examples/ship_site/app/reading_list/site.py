"""The site: what it answers over HTTP.

GET  /                      the list as a page
GET  /health                {"status": "ok", "version": ..., "schema": ...}
GET  /api/books             the list as JSON
POST /api/books             add one: {"title": ..., "author": ...}
POST /books, /books/N/finished    the same for the page's forms
"""

import json
import re
import signal
import sqlite3
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from reading_list import VERSION, database, page

LONGEST_BODY = 16_384  # bytes


class Answer(NamedTuple):
    text: str
    kind: str = "text/plain"
    status: HTTPStatus = HTTPStatus.OK
    location: str = ""


class Refused(Exception):
    """What was asked for cannot be done; says why."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class Site(ThreadingHTTPServer):
    daemon_threads = False  # who is being answered when the site ends is answered to the end

    def __init__(self, file: Path, port: int) -> None:
        self.file = file
        super().__init__(("127.0.0.1", port), Visit)


class Visit(BaseHTTPRequestHandler):
    server: Site
    server_version = "reading-list"
    sys_version = ""
    timeout = 10  # seconds for a visitor to say what they want

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        if getattr(self, "path", "") != "/health":  # asked all the time, and nobody's visit
            super().log_request(code, size)

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, how: Callable[[sqlite3.Connection], Answer]) -> None:
        try:
            with database.opened(self.server.file) as connection:
                answer = how(connection)
        except Refused as refused:
            answer = as_json({"error": str(refused)}, refused.status)
        except sqlite3.Error as error:
            answer = as_json({"error": str(error)}, HTTPStatus.INTERNAL_SERVER_ERROR)
        self._send(answer)  # only now: what was written has been committed

    def _get(self, connection: sqlite3.Connection) -> Answer:
        match self.path:
            case "/":
                return Answer(page.render(database.books(connection), VERSION), "text/html")
            case "/health":
                return as_json(health(connection))
            case "/api/books":
                return as_json(database.books(connection))
            case _:
                raise Refused(HTTPStatus.NOT_FOUND, f"there is no {self.path}")

    def _post(self, connection: sqlite3.Connection) -> Answer:
        back = Answer("", status=HTTPStatus.SEE_OTHER, location="/")
        if self.path == "/api/books":
            return as_json({"id": add(connection, self._json())}, HTTPStatus.CREATED)
        if self.path == "/books":
            add(connection, self._form())
            return back
        finished = re.fullmatch(r"/books/(\d{1,9})/finished", self.path)
        if finished and database.finish(connection, int(finished[1])):
            return back
        raise Refused(HTTPStatus.NOT_FOUND, f"there is no {self.path}")

    def _form(self) -> dict[str, Any]:
        return {name: values[0] for name, values in parse_qs(self._body().decode()).items()}

    def _json(self) -> dict[str, Any]:
        try:
            fields = json.loads(self._body())
        except ValueError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, f"this is not JSON: {error}") from error
        if not isinstance(fields, dict):
            raise Refused(HTTPStatus.BAD_REQUEST, "a book is a JSON object")
        return fields

    def _body(self) -> bytes:
        length = int(self.headers.get("Content-Length", 0))
        if length > LONGEST_BODY:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "that is too long")
        return self.rfile.read(length)

    def _send(self, answer: Answer) -> None:
        data = answer.text.encode()
        self.send_response(answer.status)
        if answer.location:
            self.send_header("Location", answer.location)
        self.send_header("Content-Type", f"{answer.kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def as_json(value: Any, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    return Answer(json.dumps(value) + "\n", "application/json", status)


def add(connection: sqlite3.Connection, fields: Mapping[str, Any]) -> int:
    title = str(fields.get("title", "")).strip()
    if not title:
        raise Refused(HTTPStatus.BAD_REQUEST, "a book needs a title")
    return database.add(connection, title, str(fields.get("author", "")).strip())


def health(connection: sqlite3.Connection) -> dict[str, Any]:
    return {"status": "ok", "version": VERSION, "schema": database.schema(connection)}


def serve_until_told(file: Path, port: int) -> None:
    """Answer until SIGTERM or SIGINT, then end in good order."""
    with Site(file, port) as site:
        # shutdown() waits for serve_forever, which this thread is in: another has to say it.
        def told(*_: object) -> None:
            threading.Thread(target=site.shutdown).start()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, told)
        print(f"version {VERSION} serves on http://127.0.0.1:{port}", flush=True)
        site.serve_forever(poll_interval=0.05)
