"""Count, limit and close WebRTC sessions."""

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
"""Limit of sessions: each has an encoder of its own."""


def _load_srtp() -> None:
    """Load aiortc's libsrtp, if installed, such that it finds its own libcrypto.

    TensorFlow exports its libcrypto to libraries loaded after it, and libsrtp crashes with that one. The flag affects
    imports of all threads, so set it at import time, before TensorFlow may be loading in another thread.
    """
    deepbind = getattr(os, "RTLD_DEEPBIND", 0)  # platforms without the flag need none
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
    """The WebRTC sessions of a page. Call it in the page's event loop only."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, frames: LatestValue[tuple[VideoFrame, int] | None], offer: str) -> str:
        """Answer an offer and start to send frames.

        Args:
            frames: the frames of one camera.
            offer: SDP of the viewer.

        Raises:
            StreamcamError: there are too many sessions, or the offer is invalid.
        """
        from .webrtc_session import send_video

        if len(self._tasks) >= _MAX_PEERS:
            raise StreamcamError(f"all {_MAX_PEERS} WebRTC sessions are in use", hint="use stream.mjpg, or try later")
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(send_video(frames, offer, future))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await future

    async def close(self) -> None:
        """Close all sessions."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
