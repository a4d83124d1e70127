"""What visitors reach: passes each of them on to the next server in rotation.

    python proxy.py DIRECTORY ADDRESS

For visitors, at ADDRESS: whatever the server answers; 502 if it does not, 503 if there is none.
Nobody is sent to a second server when the first fails: what goes wrong is to be seen.

For whoever runs the site, at ROTATION:

GET    /rotation         {"in": [...], "out": [...]}
DELETE /rotation/HOST    out of rotation; answers when the last visitor there has been answered;
                         409 for the last server in rotation
PUT    /rotation/HOST    back into rotation
"""

import http.client
import itertools
import json
import signal
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from machines import HOSTS, ROTATION, held

PATIENCE_S = 10.0


class Rotation:
    """Which servers are given visitors. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._in = list(HOSTS)
        self._visitors: Counter[str] = Counter()
        self._turn = itertools.count()

    def enter(self) -> str | None:
        """The next server, for one visitor more."""
        with self._changed:
            if not self._in:
                return None
            host = self._in[next(self._turn) % len(self._in)]
            self._visitors[host] += 1
            return host

    def leave(self, host: str) -> None:
        with self._changed:
            self._visitors[host] -= 1
            self._changed.notify_all()

    def put_in(self, host: str) -> None:
        with self._changed:
            if host not in self._in:
                self._in.append(host)

    def take_out(self, host: str) -> int:
        """An HTTP status; waits for those who are there."""
        with self._changed:
            if self._in == [host]:
                return 409
            if host in self._in:
                self._in.remove(host)
            empty = self._changed.wait_for(lambda: not self._visitors[host], PATIENCE_S)
            return 204 if empty else 504

    def told(self) -> dict[str, list[str]]:
        with self._changed:
            return {"in": sorted(self._in), "out": sorted(set(HOSTS) - set(self._in))}


class Door(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, address: str, visit: type["Visit"], rotation: Rotation) -> None:
        self.rotation = rotation
        host, _, port = address.partition(":")
        super().__init__((host, int(port)), visit)


class Visit(BaseHTTPRequestHandler):
    server: Door
    timeout = 10

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *about: object) -> None:
        pass


class VisitorsDoor(Visit):
    def do_GET(self) -> None:
        host = self.server.rotation.enter()
        if host is None:
            self.answer(503, b"no server is in rotation\n")
            return
        try:
            connection = http.client.HTTPConnection(host, timeout=PATIENCE_S)
            connection.request("GET", self.path)
            response = connection.getresponse()
            body = response.read()
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            self.answer(502, f"{host} does not answer: {error}\n".encode())
        else:
            self.answer(response.status, body, Version=response.headers.get("Version", ""))
        finally:
            self.server.rotation.leave(host)


class RotationDoor(Visit):
    def do_GET(self) -> None:
        self.answer(200, json.dumps(self.server.rotation.told()).encode())

    def do_PUT(self) -> None:
        if host := self.host():
            self.server.rotation.put_in(host)
            self.answer(204)

    def do_DELETE(self) -> None:
        if host := self.host():
            self.answer(self.server.rotation.take_out(host))

    def host(self) -> str | None:
        host = self.path.removeprefix("/rotation/")
        if host in HOSTS:
            return host
        self.answer(404)
        return None


def main(directory: str, address: str, _version: str) -> None:
    rotation = Rotation()
    with (
        held(Path(directory)),
        Door(address, VisitorsDoor, rotation) as visitors,
        Door(ROTATION, RotationDoor, rotation) as operators,
    ):
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=visitors.shutdown).start())
        threading.Thread(target=operators.serve_forever, args=(0.05,), daemon=True).start()
        visitors.serve_forever(poll_interval=0.05)
        operators.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
