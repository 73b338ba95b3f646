"""Who watches by WebRTC: how many, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

from ...errors import StreamcamError
from ..broadcast import Broadcast

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_MOST = 8
"""Each has an encoder of its own."""


def _load_srtp() -> None:
    """Loads aiortc's libsrtp, if there is one, so that it finds its own libcrypto.

    TensorFlow shows its libcrypto to all that is loaded after it, and with that one libsrtp crashes. The flag acts on
    whatever any thread imports meanwhile: hence at once, and not when somebody comes and TensorFlow may be loading.
    """
    deep = getattr(os, "RTLD_DEEPBIND", 0)  # where there is no such flag libraries find their own anyway
    flags = sys.getdlopenflags() if deep else 0
    try:
        if deep:
            sys.setdlopenflags(flags | deep)
        with contextlib.suppress(ImportError):
            import pylibsrtp  # noqa: F401
    finally:
        if deep:
            sys.setdlopenflags(flags)


_load_srtp()


class Peers:
    """The peers of a page; to be used in its event loop only."""

    def __init__(self) -> None:
        self._lives: set[asyncio.Task[None]] = set()

    async def answer(self, pictures: Broadcast[tuple[VideoFrame, int] | None], offer: str) -> str:
        """Begins to send pictures to whoever made an offer, and answers it.

        Raises:
            StreamcamError: there are too many already, or the offer cannot be used.
        """
        from .peer import live

        if len(self._lives) >= _MOST:
            raise StreamcamError(f"{_MOST} watch by WebRTC already", do="watch stream.mjpg, or try again later")
        answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        life = asyncio.create_task(live(pictures, offer, answered))
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)
        return await answered

    async def close(self) -> None:
        """Hangs up on all of them."""
        lives = tuple(self._lives)
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
