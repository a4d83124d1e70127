"""Serves the API: listens, says so, and leaves within two seconds when it is told to."""

import contextlib
import ipaddress
import logging
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

from headway.doors.web.app import ApiSettings, make_app
from headway.doors.web.connections import PromptProtocol
from headway.doors.web.limits import BACKLOG, CONNECTIONS, KEEP_S, LEAVE_S
from headway.errors import Refused, Rejected, Unavailable
from headway.ports.store import Store
from headway.ports.tokens import Tokens
from headway.runtime.tokens import is_valid

LISTEN = "127.0.0.1:8320"

_PLACE = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})")


class Listener:
    """A socket that listens, and how others reach it."""

    def __init__(self, listening: socket.socket, host: str) -> None:
        self.socket = listening
        self.port: int = listening.getsockname()[1]
        self.is_loopback = is_loopback(listening.getsockname()[0])
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.port}"

    def close(self) -> None:
        self.socket.close()


class Server(uvicorn.Server):
    """Serves one application. ``leave`` may be called by any thread, before it serves too."""

    def __init__(self, app: FastAPI, listener: Listener) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=PromptProtocol,
                ws="none",
                loop="asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                limit_concurrency=CONNECTIONS,
                timeout_keep_alive=KEEP_S,
                timeout_graceful_shutdown=LEAVE_S,
            )
        )
        self._app = app
        self._listener = listener
        logging.getLogger("uvicorn").setLevel(logging.WARNING)

    def serve_until_left(self) -> None:
        """Serve until ``leave`` is called, or, on the main thread, SIGTERM or SIGINT comes."""
        self.run(sockets=[self._listener.socket])

    def leave(self) -> None:
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but a signal that was obeyed is not raised once more in the end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.leaving.set()  # streams end, and need not be waited for
        await super().shutdown(sockets)


@contextlib.contextmanager
def beside(
    store_or_opener: Store | Callable[[], Store], settings: ApiSettings, listener: Listener
) -> Iterator[None]:
    """Serve the API by a thread of its own, beside other work, for as long as the context lasts.

    Closes the listener.
    """
    server = Server(make_app(store_or_opener, settings), listener)
    thread = threading.Thread(target=server.serve_until_left, name="headway-api")
    thread.start()
    try:
        yield
    finally:
        server.leave()
        thread.join()
        listener.close()


def listen(place: str) -> Listener:
    """Listen at ``HOST:PORT`` (a port of 0 takes any that is free).

    Raises: Rejected for what is no place; Unavailable for one that cannot be listened at.
    """
    match = _PLACE.fullmatch(place)
    if match is None or int(match["port"]) > 65_535:
        raise Rejected(f"{place!r} is no place to listen at: write HOST:PORT, such as {LISTEN}")
    host = match["six"] or match["host"]
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, int(match["port"]), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Unavailable(f"{place} cannot be listened at: {error.strerror}") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise Unavailable(f"{place} cannot be listened at: {error.strerror}") from error
    return Listener(listening, host)


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches a numeric address."""
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def require_tokens(store: Tokens, listener: Listener) -> bool:
    """Whether the store has tokens. Raises: Refused where everybody would be let in."""
    tokens = store.tokens()
    if not listener.is_loopback and not any(map(is_valid, tokens)):
        raise Refused(
            f"{listener.url} can be reached from other machines, and there is no token that holds:"
            " headway token new NAME --group GROUP makes one; or listen on 127.0.0.1"
        )
    return bool(tokens)
