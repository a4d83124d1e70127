"""What clients send: bounded before it is read, and read as strictly as the bus is."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import Request

from headway.doors.web.limits import BODY_S
from headway.doors.web.problems import Problem
from headway.errors import WireError
from headway.releases.document import LIMIT_BYTES as PLAYBOOK_BYTES
from headway.wire import strict_json
from headway.wire.strict_json import LIMIT_BYTES

YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
JSON = "application/json"


class BoundedRequest(Request):
    """A request whose body is refused as soon as there is too much of it."""

    limit_bytes = LIMIT_BYTES
    takes: tuple[str, ...] = (JSON,)

    async def stream(self) -> AsyncGenerator[bytes, None]:
        self._require_fit()
        size = 0
        try:
            async with asyncio.timeout(BODY_S):
                async for chunk in super().stream():
                    size += len(chunk)
                    if size > self.limit_bytes:
                        raise self._too_large()
                    yield chunk
        except TimeoutError:
            detail = f"the body did not come within {BODY_S:g} s: send it again"
            raise Problem(408, detail, headers={"Connection": "close"}) from None

    async def json(self) -> Any:
        try:
            return strict_json.parse(await self.body(), "the body")
        except WireError as error:
            raise Problem(400, str(error)) from error

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def _require_fit(self) -> None:
        """Raises: Problem for what the headers already say is wrong."""
        if self.headers.get("content-encoding", "identity").lower() != "identity":
            raise Problem(415, "send the body as it is, without Content-Encoding")
        length = self.headers.get("content-length", "0")
        if length.isdigit() and int(length) > self.limit_bytes:
            raise self._too_large()
        has_body = length != "0" or "transfer-encoding" in self.headers
        if has_body and self.media_type not in self.takes:
            raise Problem(415, f"send {' or '.join(self.takes)}, and say so as Content-Type")

    def _too_large(self) -> Problem:
        detail = f"the body has more than {self.limit_bytes:,} bytes: send less"
        return Problem(413, detail, headers={"Connection": "close"})


class PlaybookRequest(BoundedRequest):
    """One whose body is a playbook, exactly as it was typed."""

    limit_bytes = PLAYBOOK_BYTES
    takes = (JSON, *YAML)

    @property
    def notation(self) -> str:
        return "JSON" if self.media_type == JSON else "YAML"
