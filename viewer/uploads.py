"""Pictures of any size as the body of a POST request, streamed to the store in bounded memory."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import BinaryIO, cast
from urllib.parse import unquote, urlsplit

import anyio
import anyio.from_thread
import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from ki67.errors import Ki67Error, StoreError
from viewer.sources import ViewerSource

NAME_HEADER = "x-ki67-name"
BUFFER_BYTES = 1 << 20
UPLOADS_AT_ONCE = 4


class RequestStream(io.RawIOBase):
    """A request's body as a blocking stream, for a worker thread that anyio started."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` with what is there; 0 at the end. Raises `ClientDisconnect` when the sender left."""
        while not self._left:
            chunk = anyio.from_thread.run(self._next)
            if chunk is None:
                return 0
            self._left = memoryview(chunk)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    async def _next(self) -> bytes | None:
        return await anext(self._chunks, None)


def is_same_origin(request: Request) -> bool:
    """Whether a page of this very server sent the request: its Origin names the host that was asked."""
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == request.headers.get("host", "")


class Uploads:
    """The endpoint of `POST /ki67/uploads`; at most UPLOADS_AT_ONCE are taken in at a time, others wait."""

    def __init__(self, source: ViewerSource) -> None:
        self._source = source
        self._limiter: anyio.CapacityLimiter | None = None

    async def __call__(self, request: Request) -> Response:
        """Store the body as a picture; answers `{"code": …}`, or `{"message": …}` with what to do."""
        if not is_same_origin(request):
            return JSONResponse({"message": "Upload from the app's own page."}, status_code=403)
        name = unquote(request.headers.get(NAME_HEADER, ""))
        if not name:
            return JSONResponse({"message": "The upload names no file; choose one."}, status_code=400)
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(UPLOADS_AT_ONCE)
        stream = io.BufferedReader(RequestStream(request.stream()), BUFFER_BYTES)
        try:
            code = await anyio.to_thread.run_sync(
                self._source.add_upload, cast(BinaryIO, stream), name, limiter=self._limiter
            )
        except ClientDisconnect:
            return Response(status_code=400)
        except StoreError as error:
            return JSONResponse({"message": str(error)}, status_code=507)
        except Ki67Error as error:
            return JSONResponse({"message": str(error)}, status_code=422)
        return JSONResponse({"code": code}, status_code=201)
