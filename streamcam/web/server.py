"""Bind the page's address and run the server in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import uvicorn

from ..concurrency.group import StageGroup
from ..errors import SinkError
from ..live.status import Controller
from ..options import ServerOptions
from .app import make_app
from .limits import MAX_HEADER_BYTES, ErrorLog, LimitedProtocol, max_connections
from .webrtc import WebRtcManager

_SHUTDOWN_SECONDS = 1
"""Time for open requests at shutdown."""
_SEND_BUFFER_BYTES = 128 * 1024
"""Socket buffer of one viewer: a large one would hold old frames for a slow viewer."""
_BACKLOG = 64
"""Connections that wait to be accepted, and accepted at once."""
_KEEP_ALIVE_SECONDS = 5
_HINTS = {
    errno.EADDRINUSE: "use another --http port, or 0 for a free one",
    errno.EADDRNOTAVAIL: "use an address of this machine, such as 127.0.0.1:8080, or 0.0.0.0 for all of them",
    errno.EACCES: "ports below 1024 belong to the system; use a higher --http port",
}


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is being served.

    Attributes:
        url: address of the page, without the token.
    """

    url: str


@contextlib.contextmanager
def serve_page(controller: Controller, options: ServerOptions) -> Iterator[Page]:
    """Serve the page of a run while the block runs.

    Args:
        controller: the run to show and change.
        options: address and token.

    Raises:
        SinkError: the address cannot be bound, or it is public and there is no token.
    """
    stopping, webrtc_manager = asyncio.Event(), WebRtcManager()
    with _listen(options) as listener, StageGroup(shutdown_timeout_seconds=3.0) as group:
        server = _Server(
            uvicorn.Config(
                make_app(controller, options.token, stopping, webrtc_manager),
                http=LimitedProtocol,
                limit_concurrency=max_connections(),
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
                backlog=_BACKLOG,
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            ),
            stopping,
            webrtc_manager,
        )
        # The socket listens already: early requests wait in its backlog.
        group.spawn(lambda: server.run([listener]), stop=server.stop, name="page")
        yield Page(_url(listener))


class _Server(uvicorn.Server):
    """Ends all streams before it waits for open requests.

    Streams never end by themselves.
    """

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event, webrtc_manager: WebRtcManager) -> None:
        super().__init__(config)
        self._stopping, self._webrtc_manager = stopping, webrtc_manager

    def stop(self) -> None:
        """Make `run` return soon; callable from any thread."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections."""
        asyncio.get_running_loop().set_exception_handler(ErrorLog())
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all streams and close the remaining connections.

        Other requests get a moment to finish.
        """
        # asyncio may still try to accept on the closed socket, after a shortage of descriptors.
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        self._stopping.set()
        await self._webrtc_manager.close()
        await super().shutdown(sockets)
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()


def _listen(options: ServerOptions) -> socket.socket:
    requested = f"{options.host}:{options.port}" if ":" not in options.host else f"[{options.host}]:{options.port}"
    try:
        addresses = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise SinkError(f"unknown --http host {options.host!r}", hint=_HINTS[errno.EADDRNOTAVAIL]) from error
    family, _, _, _, address = addresses[0]
    if not (options.token or ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback):
        raise SinkError(
            f"--http {requested} is open to the network", expected="a --token", hint="or use --http 127.0.0.1:PORT"
        )
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise SinkError(
            f"cannot serve the page at {requested}: {reason}", hint=_HINTS.get(error.errno or 0, "")
        ) from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
