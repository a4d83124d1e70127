"""The catalogue's service, a little one: ``python catalogued.py PID_FILE``.

It answers 204 at http://127.0.0.1:8321/health, and holds a lock on its file while it lives. Any
number of them share the port, as machines share a name: the system deals the visitors out.
"""

import fcntl
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8321


class Catalogue(ThreadingHTTPServer):
    allow_reuse_port = True
    daemon_threads = False  # who is being answered when it is told to end is answered to the end


class Visit(BaseHTTPRequestHandler):
    timeout = 10

    def do_GET(self) -> None:
        self.send_response(204 if self.path == "/health" else 404)
        self.end_headers()

    def log_request(self, *about: object) -> None:
        pass


def main(file: str) -> None:
    with open(file, "a+") as opened, Catalogue(("127.0.0.1", PORT), Visit) as server:
        fcntl.flock(opened, fcntl.LOCK_EX)  # one who only looks holds it for an instant
        opened.truncate(0)
        opened.write(str(os.getpid()))
        opened.flush()
        # Not in the handler itself: shutdown waits for the loop that the handler interrupts.
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
