"""Pictures to whoever watches: each takes the newest there is when the one before has left."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncGenerator

from anyio.to_thread import run_sync
from PIL import Image
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from ..status import Monitor

_BOUNDARY = b"--frame\r\n"
_FIRST = 1.0
"""Seconds to wait for a new picture before the one that stands is taken: of a camera that is paused, lost or ended."""
_SOON = 0.06
"""Seconds after which a picture is sent again where no newer one has come; longer than a frame at 25 a second."""
_STALLED = 30.0
"""Seconds a watcher may leave a picture unfetched."""


class Stream(Response):
    """Motion JPEG: ``multipart/x-mixed-replace``, until the watcher leaves, stalls, or ``leaving`` is set.

    Most clients show a part when the boundary behind it has come, so it is sent with the picture and not before the
    next. Chromium shows it when the next part's headers have come: where none follows soon the same is sent again.
    """

    def __init__(self, monitor: Monitor, leaving: asyncio.Event) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"Content-Type": "multipart/x-mixed-replace; boundary=frame"})
        self._monitor = monitor
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends pictures to one watcher."""
        sending = asyncio.ensure_future(self._send(send))
        others = asyncio.ensure_future(_gone(receive)), asyncio.ensure_future(self._leaving.wait())
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
        async with contextlib.aclosing(pictures(self._monitor)) as coming:
            async for picture in coming:
                head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture)
                async with asyncio.timeout(_STALLED):
                    await send(_body(head + picture + b"\r\n" + _BOUNDARY))
                    # The server waits before it sends, not after: so the next picture is chosen when there is room.
                    await send(_body(b""))


async def pictures(monitor: Monitor) -> AsyncGenerator[bytes, None]:
    """The newest picture, each time one is asked for: waits until there is a newer one than before.

    What was made for watchers that are gone may be old and is not taken. Where no new one comes within a second, the
    first is the one that stands. Each comes once more where no newer one follows soon.
    """
    loop = asyncio.get_running_loop()
    ring = asyncio.Event()

    def bell() -> None:
        loop.call_soon_threadsafe(ring.set)

    with monitor.jpegs.watched(bell):
        shown, again = 0, b""
        if not await rung(ring, _FIRST):
            again = await run_sync(_still, monitor, abandon_on_cancel=True)
            if again:
                yield again
        while True:
            if await rung(ring, _SOON if again else None):
                ring.clear()
                number, picture = monitor.jpegs.newest
                # A bell may ring late, for a picture that was taken meanwhile.
                if number > shown:
                    shown, again = number, picture
                    yield picture
            else:
                picture, again = again, b""
                yield picture


async def one_picture(monitor: Monitor, within: float) -> bytes | None:
    """The next picture, or the one that stands; None where there is none after so many seconds."""
    async with contextlib.aclosing(pictures(monitor)) as coming:
        try:
            return await asyncio.wait_for(anext(coming), within)
        except TimeoutError:
            return None


async def rung(ring: asyncio.Event, within: float | None) -> bool:
    """Whether it rang within so many seconds."""
    try:
        await asyncio.wait_for(ring.wait(), within)
    except TimeoutError:
        return False
    return True


def _still(monitor: Monitor) -> bytes:
    """What a camera shows, as JPEG; empty before the first picture."""
    snapshot = monitor.snapshot()
    if snapshot is None:
        return b""
    picture = io.BytesIO()
    Image.open(io.BytesIO(snapshot.png)).convert("RGB").save(picture, "JPEG", quality=90)
    return picture.getvalue()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _body(content: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}
