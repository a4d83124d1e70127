"""A web server on loopback whose pages a test writes."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Seen(NamedTuple):
    """A request that arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Page = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers with the page of the path."""

    site: "Site"
    protocol_version = "HTTP/1.1"

    def answer(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def drip(self, data: bytes) -> None:
        """Send this again and again, until nobody takes it any more."""
        try:
            while not self.site.over.wait(0.02):
                self.wfile.write(data)
                self.wfile.flush()
        except OSError:
            pass
        self.close_connection = True

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.site.seen.append(Seen(self.command, self.path, dict(self.headers), body))
        page = self.site.pages.get(self.path.partition("?")[0])
        if page is None:
            self.answer(404)
        else:
            page(self)

    do_GET = do_PUT = do_POST = do_DELETE = _do

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Site(ThreadingHTTPServer):
    """``connections`` counts everybody who came, whether they asked for anything or not."""

    daemon_threads = True

    def __init__(self, host: str, port: int = 0) -> None:
        handler = type("SiteHandler", (Handler,), {"site": self})
        super().__init__((host, port), handler)
        self.pages: dict[str, Page] = {"/": lambda handler: handler.answer(body=b"hello")}
        self.seen: list[Seen] = []
        self.connections = 0
        self.over = threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # whoever came has gone: that is what some tests are about


class SiteOnV6(Site):
    address_family = socket.AF_INET6


@contextmanager
def site(
    host: str = "127.0.0.1", port: int = 0, context: ssl.SSLContext | None = None
) -> Iterator[Site]:
    made = SiteOnV6(host, port) if ":" in host else Site(host, port)
    if context is not None:
        made.socket = context.wrap_socket(made.socket, server_side=True)
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        made.shutdown()
        thread.join()
        made.server_close()
