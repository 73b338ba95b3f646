"""Limits of the page: number of connections, duration of requests, size of bodies.

uvicorn limits the size of headers and ends connections that send nothing between two requests. A client could still
hold a connection by sending a request slowly or by reading no response; `LimitedProtocol` and `BodyLimitMiddleware`
end these.
"""

from __future__ import annotations

import asyncio
import errno
from typing import Any

import h11
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..notes import get_logger

logger = get_logger(__name__)

MAX_CONNECTIONS = 128
"""About 20 open pages: a browser opens at most six connections."""
MAX_HEADER_BYTES = 16 * 1024
MAX_BODY_BYTES = 256 * 1024
"""A WebRTC offer takes up to 100,000 characters."""
REQUEST_TIMEOUT_SECONDS = 10.0
"""Seconds to send the headers of a request, counted from the response before, and again for its body."""
STALL_TIMEOUT_SECONDS = 30.0
"""Seconds for which a client may leave a response unread."""
_LINGER_SECONDS = 1.0
"""Seconds to read the end of a response on a closing connection."""
_DESCRIPTOR_SHARE = 4
"""The page uses one of so many of the descriptors that the process may open; cameras and outputs need them too."""
OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
_REQUEST_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def max_connections() -> int:
    """Return how many connections the page may hold."""
    try:
        import resource
    except ImportError:  # Windows has no limit
        return MAX_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft < 0 else max(8, min(MAX_CONNECTIONS, soft // _DESCRIPTOR_SHARE))


class LimitedProtocol(H11Protocol):
    """HTTP/1.1 for one client, with limits.

    A connection without a request in progress is idle. It is closed after `REQUEST_TIMEOUT_SECONDS`, however many bytes
    of a request have arrived, or as soon as a new one needs its place. If none is idle, uvicorn answers 503: its
    ``limit_concurrency`` is the number of connections.
    """

    _deadline: asyncio.TimerHandle | None = None
    _stall_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time of the first request; close another connection if needed."""
        super().connection_made(transport)
        self._watch()
        limit = self.config.limit_concurrency
        if limit is not None and len(self.connections) >= limit:
            idle = [one for one in self.connections if isinstance(one, LimitedProtocol) and one is not self]
            longest = min(idle, key=lambda one: one._deadline.when() if one._deadline else float("inf"), default=None)
            if longest is not None and longest._deadline is not None:
                self.connections.discard(longest)
                longest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        super().connection_lost(exc)
        self._unwatch()
        self.resume_writing()

    def handle_events(self) -> None:
        """Handle received data; the time of a request ends with its headers."""
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        """Start the time of the next request."""
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """Abort the connection if the client reads nothing for too long."""
        super().pause_writing()
        if self._stall_deadline is None:
            self._stall_deadline = self.loop.call_later(STALL_TIMEOUT_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        super().resume_writing()
        if self._stall_deadline is not None:
            self._stall_deadline.cancel()
            self._stall_deadline = None

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection, even if its client reads nothing."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(_LINGER_SECONDS, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Refuse invalid data; during a response, which it cannot interrupt, abort the connection."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def _watch(self) -> None:
        """Let the time run exactly while the connection is idle."""
        if self.transport.is_closing() or (self.cycle is not None and not self.cycle.response_complete):
            self._unwatch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_TIMEOUT_SECONDS, self._expire)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            self.transport.write(_REQUEST_TIMEOUT)
        self.transport.close()
        self.loop.call_later(_LINGER_SECONDS, self.transport.abort)


class BodyLimitMiddleware:
    """Reads the body of a request before an application runs; refuses large and slow ones."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on with its body."""
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        if not ("content-length" in headers or "transfer-encoding" in headers):
            await self._app(scope, receive, send)
            return
        body = b""
        try:
            if int(headers.get("content-length", "0")) > MAX_BODY_BYTES:
                raise OverflowError
            async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
                body = await _read_body(receive)
        except (ValueError, OverflowError):
            await _refuse(413, f"the body is too large; expected at most {MAX_BODY_BYTES // 1024} KiB", scope, send)
        except TimeoutError:
            await _refuse(408, f"the body did not arrive within {REQUEST_TIMEOUT_SECONDS:g} s", scope, send)
        except ConnectionError:
            return
        else:
            await self._app(scope, _replay(body, receive), send)


async def _read_body(receive: Receive) -> bytes:
    """Return the whole body.

    Raises:
        OverflowError: it is larger than `MAX_BODY_BYTES`.
        ConnectionError: the client left.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise OverflowError
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body once."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


async def _refuse(status: int, detail: str, scope: Scope, send: Send) -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    await JSONResponse({"detail": detail}, status_code=status)(scope, receive, send)


class ErrorLog:
    """Logs each kind of event loop error once, in one line."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log an error."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in OUT_OF_DESCRIPTORS:
            line = "the page accepts no connection: too many open files; raise the limit with ulimit -n"
        else:
            line = f"internal error of the page: {context['message']}" + (f" ({error!r})" if error else "")
        if line not in self._logged:
            self._logged.add(line)
            logger.warning("%s", line)
