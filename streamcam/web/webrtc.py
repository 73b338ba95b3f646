"""Who watches by WebRTC: how many, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

from ..errors import StreamcamError
from ..live.latest_value import LatestValue

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_MAX_PEERS = 8
"""Each has an encoder of its own."""


def _load_srtp() -> None:
    """Loads aiortc's libsrtp, if there is one, so that it finds its own libcrypto.

    TensorFlow shows its libcrypto to all that is loaded after it, and with that one libsrtp crashes. The flag acts on
    whatever any thread imports meanwhile: hence at once, and not when somebody comes and TensorFlow may be loading.
    """
    deepbind = getattr(os, "RTLD_DEEPBIND", 0)  # where there is no such flag libraries find their own anyway
    flags = sys.getdlopenflags() if deepbind else 0
    try:
        if deepbind:
            sys.setdlopenflags(flags | deepbind)
        with contextlib.suppress(ImportError):
            import pylibsrtp  # noqa: F401
    finally:
        if deepbind:
            sys.setdlopenflags(flags)


_load_srtp()


class WebRtcManager:
    """The peers of a page; to be used in its event loop only."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, frames: LatestValue[tuple[VideoFrame, int] | None], offer: str) -> str:
        """Begins to send pictures to whoever made an offer, and answers it.

        Raises:
            StreamcamError: there are too many already, or the offer cannot be used.
        """
        from .webrtc_session import send_video

        if len(self._tasks) >= _MAX_PEERS:
            raise StreamcamError(f"{_MAX_PEERS} watch by WebRTC already", hint="watch stream.mjpg, or try again later")
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(send_video(frames, offer, future))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await future

    async def close(self) -> None:
        """Hangs up on all of them."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
