"""Server-sent events: the journal of a run as it grows, to be taken up again anywhere.

The id of each is its place in the journal. A stream ends when the run is over, when whoever
reads it may no longer, and when the server leaves; a client that comes again says where it was.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headway.doors.web.limits import ALLOWED_S, LOOK_S, PING_S, RETRY_MS, SEND_S
from headway.doors.web.problems import Problem
from headway.errors import HeadwayError

MEDIA_TYPE = "text/event-stream"


class EventStream(Response):
    """Answers with chunks as they come, until there are no more, or nobody listens."""

    media_type = MEDIA_TYPE

    def __init__(self, chunks: AsyncGenerator[bytes, None], counted: Callable[[int], None]) -> None:
        """``counted``: is told that there is one stream more, and in the end one less."""
        self.status_code = 200
        self.background = None
        self._chunks = chunks
        self._counted = counted
        self.init_headers({"X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._counted(1)
        sending = asyncio.ensure_future(self._send_all(send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            await self._chunks.aclose()
            self._counted(-1)

    async def _send_all(self, send: Send) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        with suppress(TimeoutError):
            async for chunk in self._chunks:
                async with asyncio.timeout(SEND_S):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def told(
    page_after: Callable[[int], Awaitable[dict[str, Any]]],
    after: int,
    still_allowed: Callable[[], Awaitable[object]],
    leaving: asyncio.Event,
) -> AsyncGenerator[bytes, None]:
    """What is sent of a journal. ``page_after``: the events that follow a place in it.

    A store that does not answer ends the stream: the client comes again where it was.
    """
    loop = asyncio.get_running_loop()
    yield f"retry: {RETRY_MS}\n\n".encode()
    asked_s = spoken_s = loop.time()
    with suppress(Problem, HeadwayError):
        while not leaving.is_set():
            page = await page_after(after)
            after = page["next"]
            if page["events"]:
                spoken_s = loop.time()
                yield b"".join(map(_event, page["events"]))
            elif page["over"]:
                return
            else:
                if loop.time() - spoken_s >= PING_S:
                    spoken_s = loop.time()
                    yield b": still there\n\n"
                with suppress(TimeoutError):
                    await asyncio.wait_for(leaving.wait(), LOOK_S)
            if loop.time() - asked_s >= ALLOWED_S:
                asked_s = loop.time()
                await still_allowed()


def _event(event: dict[str, Any]) -> bytes:
    data = json.dumps(event, ensure_ascii=False)
    return f"id: {event['seq']}\ndata: {data}\n\n".encode()
