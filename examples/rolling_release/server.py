"""A web server of the site: ``python server.py DIRECTORY ADDRESS VERSION``.

GET /          the version's greeting
GET /health    200 if there is one to give, else 500 and why

What a version is stands in ``versions/VERSION.json``. The header ``Version`` says which answered.
"""

import json
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from machines import held, version_file


class WebServer(ThreadingHTTPServer):
    daemon_threads = False  # who is being answered when it is told to end is answered to the end
    request_queue_size = 128

    def __init__(self, address: str, version: str) -> None:
        self.version = version
        self.content: dict[str, Any] = json.loads(version_file(version).read_text())
        host, _, port = address.partition(":")
        super().__init__((host, int(port)), Visit)


class Visit(BaseHTTPRequestHandler):
    server: WebServer
    timeout = 10  # seconds for a visitor to say what they want

    def do_GET(self) -> None:
        try:
            greeting = self.server.content["greeting"]
        except KeyError as error:
            self.answer(500, f"version {self.server.version} lacks its {error}")
        else:
            self.answer(200, "well" if self.path == "/health" else greeting)

    def answer(self, status: int, text: str) -> None:
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Version", self.server.version)
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *about: object) -> None:
        pass


def main(directory: str, address: str, version: str) -> None:
    with held(Path(directory), version), WebServer(address, version) as server:
        # Not in the handler itself: shutdown waits for the loop that the handler interrupts.
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
