"""The page's address, and the thread that answers there."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Iterator

import uvicorn

from ...config import PageOptions
from ...errors import SinkError
from ...flow import Flow
from ..status import Studio
from . import Page
from .app import make_app
from .peers import Peers

_GRACE = 1
"""Seconds for answers under way when the page ends."""
_SEND_BUFFER = 128 * 1024
"""Bytes the system may hold back for one watcher: what a slow one has not fetched is old when it comes."""
_WAITING = 128
_DO = {
    errno.EADDRINUSE: "choose another port for --http, or 0 for a free one",
    errno.EADDRNOTAVAIL: "--http takes an address of this machine, such as 127.0.0.1:8080, or 0.0.0.0 for all of them",
    errno.EACCES: "ports below 1024 belong to the system, choose a larger one for --http",
}


@contextlib.contextmanager
def serving(studio: Studio, options: PageOptions) -> Iterator[Page]:
    """Serves the page of a run while the block runs.

    Raises:
        SinkError: the address cannot be had, or others can reach it and there is no token.
    """
    leaving, peers = asyncio.Event(), Peers()
    with _listening(options) as listening, Flow(patience=3.0) as flow:
        server = _Server(
            uvicorn.Config(
                make_app(studio, options.token, leaving, peers),
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_GRACE,
            ),
            leaving,
            peers,
        )
        # The socket listens already: whoever comes before the thread is ready waits in its queue.
        flow.alongside(lambda: server.run([listening]), stop=server.leave, name="page")
        yield Page(_url(listening))


class _Server(uvicorn.Server):
    """Sends watchers away before it waits for answers to end: theirs would never."""

    def __init__(self, config: uvicorn.Config, leaving: asyncio.Event, peers: Peers) -> None:
        super().__init__(config)
        self._leaving, self._peers = leaving, peers

    def leave(self) -> None:
        """Makes `run` return soon; callable from any thread."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends all streams, waits a moment for the other answers, and hangs up on who is left."""
        self._leaving.set()
        await self._peers.close()
        await super().shutdown(sockets)
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()


def _listening(options: PageOptions) -> socket.socket:
    asked = f"{options.host}:{options.port}" if ":" not in options.host else f"[{options.host}]:{options.port}"
    if not 0 <= options.port <= 65535:
        raise SinkError(f"--http with port {options.port} is not possible", wanted="0 to 65535")
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise SinkError(f"the page's host {options.host!r} has no address", do=_DO[errno.EADDRNOTAVAIL]) from error
    family, _, _, _, address = found[0]
    if not (options.token or ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback):
        raise SinkError(
            f"the page at {asked} could be seen and changed by anybody in the network",
            do="give it a --token, or serve it on 127.0.0.1",
        )
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        listening.bind(address)
        listening.listen(_WAITING)
    except OSError as error:
        listening.close()
        reason = error.strerror or str(error)
        raise SinkError(f"the page cannot be served at {asked}: {reason}", do=_DO.get(error.errno or 0, "")) from error
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
