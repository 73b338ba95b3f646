"""Motion JPEG: each viewer gets the latest frame once the one before is sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from anyio.to_thread import run_sync
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from ..live.status import CameraHandle

_BOUNDARY = b"--frame\r\n"
_FIRST_TIMEOUT_SECONDS = 1.0
"""Seconds to wait for a new frame before sending the last one, of a camera that is paused, lost or ended."""
_REPEAT_SECONDS = 0.06
"""Seconds without a new frame after which one is sent again; longer than a frame at 25 a second."""
_STALL_TIMEOUT_SECONDS = 30.0
"""Seconds for which a viewer may leave a frame unread."""


class MjpegResponse(Response):
    """Motion JPEG as ``multipart/x-mixed-replace``.

    It ends when the viewer leaves or stalls, or ``stopping`` is set.

    Most clients show a part once they have the boundary after it, so the boundary is sent with the frame. Chromium
    waits for the headers of the next part, so a frame is sent again if none follows soon.
    """

    def __init__(self, camera: CameraHandle, stopping: asyncio.Event) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"Content-Type": "multipart/x-mixed-replace; boundary=frame"})
        self._camera = camera
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send frames to one viewer."""
        sending = asyncio.ensure_future(self._send(send))
        others = asyncio.ensure_future(_wait_for_disconnect(receive)), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((sending, *others), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, *others):
                task.cancel()
            await asyncio.wait((sending, *others))
        if not sending.cancelled():
            sending.result()
        await send(_body(b"", more=False))

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send(_body(_BOUNDARY))
        async with contextlib.aclosing(latest_jpegs(self._camera)) as jpegs:
            async for jpeg in jpegs:
                head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
                async with asyncio.timeout(_STALL_TIMEOUT_SECONDS):
                    await send(_body(head + jpeg + b"\r\n" + _BOUNDARY))
                    # uvicorn waits before it writes, not after: wait here, so that the next frame is the latest.
                    await send(_body(b""))


async def latest_jpegs(camera: CameraHandle) -> AsyncGenerator[bytes, None]:
    """Yield the latest frame each time; wait for a newer one.

    A JPEG encoded for earlier viewers may be old, so it is not used. If no new frame comes within a second, the first
    is the shown frame. Each frame is yielded once more if no newer one follows soon.
    """
    loop = asyncio.get_running_loop()
    updated = asyncio.Event()

    def on_update() -> None:
        loop.call_soon_threadsafe(updated.set)

    with camera.jpegs.subscribe(on_update):
        shown, repeat = 0, b""
        if not await wait_for_event(updated, _FIRST_TIMEOUT_SECONDS):
            repeat = await run_sync(camera.shown_jpeg, abandon_on_cancel=True)
            if repeat:
                yield repeat
        while True:
            if await wait_for_event(updated, _REPEAT_SECONDS if repeat else None):
                updated.clear()
                number, jpeg = camera.jpegs.latest
                # An update may arrive late, for a frame already sent.
                if number > shown:
                    shown, repeat = number, jpeg
                    yield jpeg
            else:
                jpeg, repeat = repeat, b""
                yield jpeg


async def next_jpeg(camera: CameraHandle, timeout_seconds: float) -> bytes | None:
    """Return the next frame, or the shown one; None if there is none after ``timeout_seconds``."""
    async with contextlib.aclosing(latest_jpegs(camera)) as jpegs:
        try:
            return await asyncio.wait_for(anext(jpegs), timeout_seconds)
        except TimeoutError:
            return None


async def wait_for_event(event: asyncio.Event, timeout_seconds: float | None) -> bool:
    """Return whether the event was set within ``timeout_seconds``."""
    try:
        await asyncio.wait_for(event.wait(), timeout_seconds)
    except TimeoutError:
        return False
    return True


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _body(content: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}
