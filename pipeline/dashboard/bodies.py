"""Bodies of requests: JSON of a known form and a small size, or a refusal that says why."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_BODY_BYTES = 16 * 1024
BodyT = TypeVar("BodyT")


class BodyError(Exception):
    """This body is not what was expected; the message says why."""

    def response(self) -> JSONResponse:
        """The answer that says so."""
        return JSONResponse({"error": "malformed", "text": str(self)}, 400)


async def read_body(request: Request, kind: type[BodyT]) -> BodyT:
    """The body as a record.

    Raises:
        BodyError: it is too long, is not called JSON, or is not of this form.
    """
    found = request.headers.get("content-type", "")
    if found.partition(";")[0].strip() != "application/json":
        raise BodyError(f"body: found content type {found[:60]!r}, expected application/json.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BodyError(f"body: found more than {MAX_BODY_BYTES} bytes.")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BodyError(f"body: {error}") from error
