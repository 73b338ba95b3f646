"""One who watches by WebRTC. Needs aiortc, which sends, and encodes in the event loop's pool of threads."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.codecs import vpx
from aiortc.sdp import SessionDescription

from ...errors import StreamcamError
from ...sinks.webrtc import PeerPictures
from ..broadcast import Broadcast
from .watching import rung

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_CONNECTING = 10.0
"""Seconds for a peer that made an offer to come."""
_STANDING = 1.0
"""Seconds after which a picture is sent again where no newer one has come: a peer may have lost the first."""
_CLOCK = 90_000

# No option says so. From where aiortc begins browsers let the rate rise so slowly that pictures are poor for minutes.
# Where a network is too slow for this they say so, and it falls.
vpx.DEFAULT_BITRATE, vpx.MAX_BITRATE = 4_000_000, 8_000_000

# Without a handler its warnings, some of them tracebacks, go to standard error.
logging.getLogger("aiortc").addHandler(logging.NullHandler())


async def live(pictures: Broadcast[tuple[VideoFrame, int] | None], offer: str, answered: asyncio.Future[str]) -> None:
    """Sends pictures to one peer until it leaves, is lost, or this is cancelled.

    Args:
        pictures: what is sent; the newest whenever the peer's encoder is free.
        offer: the peer's, as SDP.
        answered: becomes the answer to it, or the `StreamcamError` that says why there is none.
    """
    loop = asyncio.get_running_loop()
    ring, come, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()
    # No servers: it is for networks in which browser and camera reach each other.
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))

    def bell() -> None:
        loop.call_soon_threadsafe(ring.set)

    def changed() -> None:
        if connection.connectionState == "connected":
            come.set()
        elif connection.connectionState in ("failed", "closed"):
            come.set()
            gone.set()

    connection.on("connectionstatechange", changed)
    try:
        with pictures.watched(bell):
            try:
                answered.set_result(await _answer(connection, _Track(pictures, ring), offer))
            except StreamcamError as error:
                answered.set_exception(error)
                return
            if await rung(come, _CONNECTING):
                await gone.wait()
    finally:
        answered.cancel()
        await connection.close()


async def _answer(connection: RTCPeerConnection, track: _Track, offer: str) -> str:
    """Agrees on one video to be sent.

    Raises:
        StreamcamError: the offer cannot be used.
    """
    sending = connection.addTransceiver(track, direction="sendonly")
    # The first is VP8, which takes a quarter of the time of H.264 here.
    sending.setCodecPreferences(RTCRtpSender.getCapabilities("video").codecs)
    try:
        first, *others = SessionDescription.parse(offer).media
        if others or (first.kind, first.direction) != ("video", "recvonly"):
            raise ValueError("it is not for one video to receive")
        if first.dtls is None or not first.dtls.fingerprints:
            raise ValueError("it has no fingerprint")
        await connection.setRemoteDescription(RTCSessionDescription(_without_candidates(offer), "offer"))
        await connection.setLocalDescription()
    # What is no SDP raises whatever its parser stumbles over.
    except Exception as error:
        raise StreamcamError(
            f"the offer cannot be used: {error}", wanted="SDP of one recvonly video in VP8 or H.264"
        ) from error
    return connection.localDescription.sdp


def _without_candidates(offer: str) -> str:
    """The peer finds its way here, as it did for this page; so nothing is sent to addresses that somebody names.

    Browsers hide theirs behind names that would have to be asked for in the network, for a second where nobody knows.
    """
    left_out = "a=candidate:", "a=end-of-candidates"
    return "".join(line for line in offer.splitlines(keepends=True) if not line.startswith(left_out))


class _Track(MediaStreamTrack):
    """The newest picture, each time one is asked for."""

    kind = "video"

    def __init__(self, pictures: Broadcast[tuple[VideoFrame, int] | None], ring: asyncio.Event) -> None:
        super().__init__()
        self._pictures, self._ring = pictures, ring
        self._own = PeerPictures().own
        self._number = self._pts = 0
        self._at = 0.0

    async def recv(self) -> VideoFrame:
        """Waits for a newer picture than the one before; the first time, and where none comes, takes what stands."""
        loop = asyncio.get_running_loop()
        within = _STANDING if self._number else 0.0
        while True:
            rang = await rung(self._ring, within)
            self._ring.clear()
            number, newest = self._pictures.newest
            # A bell may ring late, for a picture that was taken meanwhile.
            if newest is not None and (number > self._number or not rang):
                break
            within = _STANDING
        picture, pts = newest
        if number == self._number:
            pts = self._pts + round((loop.time() - self._at) * _CLOCK)
        self._number, self._pts, self._at = number, max(pts, self._pts + 1), loop.time()
        return await loop.run_in_executor(None, self._own, picture, self._pts)
