"""One who watches by WebRTC. Needs aiortc, which sends, and encodes in the event loop's pool of threads."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.codecs import vpx
from aiortc.sdp import SessionDescription

from ..errors import StreamcamError
from ..live.latest_value import LatestValue
from ..media.webrtc_frames import WebRtcConverter
from .mjpeg import wait_for_event

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_CONNECT_TIMEOUT_SECONDS = 10.0
"""Seconds for a peer that made an offer to come."""
_RESEND_SECONDS = 1.0
"""Seconds after which a picture is sent again where no newer one has come: a peer may have lost the first."""
_CLOCK_RATE = 90_000

# No option says so. From where aiortc begins browsers let the rate rise so slowly that pictures are poor for minutes.
# Where a network is too slow for this they say so, and it falls.
vpx.DEFAULT_BITRATE, vpx.MAX_BITRATE = 4_000_000, 8_000_000

# Without a handler its warnings, some of them tracebacks, go to standard error.
logging.getLogger("aiortc").addHandler(logging.NullHandler())


async def send_video(
    frames: LatestValue[tuple[VideoFrame, int] | None], offer: str, answer: asyncio.Future[str]
) -> None:
    """Sends pictures to one peer until it leaves, is lost, or this is cancelled.

    Args:
        frames: what is sent; the newest whenever the peer's encoder is free.
        offer: the peer's, as SDP.
        answer: becomes the answer to it, or the `StreamcamError` that says why there is none.
    """
    loop = asyncio.get_running_loop()
    updated, connected, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    # No servers: it is for networks in which browser and camera reach each other.
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))

    def on_update() -> None:
        loop.call_soon_threadsafe(updated.set)

    def on_state_change() -> None:
        if connection.connectionState == "connected":
            connected.set()
        elif connection.connectionState in ("failed", "closed"):
            connected.set()
            closed.set()

    connection.on("connectionstatechange", on_state_change)
    try:
        with frames.subscribe(on_update):
            try:
                answer.set_result(await _answer(connection, _Track(frames, updated), offer))
            except StreamcamError as error:
                answer.set_exception(error)
                return
            if await wait_for_event(connected, _CONNECT_TIMEOUT_SECONDS):
                await closed.wait()
    finally:
        answer.cancel()
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
            f"the offer cannot be used: {error}", expected="SDP of one recvonly video in VP8 or H.264"
        ) from error
    return connection.localDescription.sdp


def _without_candidates(offer: str) -> str:
    """The peer finds its way here, as it did for this page; so nothing is sent to addresses that somebody names.

    Browsers hide theirs behind names that would have to be asked for in the network, for a second where nobody knows.
    """
    dropped = "a=candidate:", "a=end-of-candidates"
    return "".join(line for line in offer.splitlines(keepends=True) if not line.startswith(dropped))


class _Track(MediaStreamTrack):
    """The newest picture, each time one is asked for."""

    kind = "video"

    def __init__(self, frames: LatestValue[tuple[VideoFrame, int] | None], updated: asyncio.Event) -> None:
        super().__init__()
        self._frames, self._updated = frames, updated
        self._copy_frame = WebRtcConverter().convert
        self._number = self._pts = 0
        self._sent_at = 0.0

    async def recv(self) -> VideoFrame:
        """Waits for a newer picture than the one before; the first time, and where none comes, takes what stands."""
        loop = asyncio.get_running_loop()
        timeout_seconds = _RESEND_SECONDS if self._number else 0.0
        while True:
            updated = await wait_for_event(self._updated, timeout_seconds)
            self._updated.clear()
            number, latest = self._frames.latest
            # A bell may ring late, for a picture that was taken meanwhile.
            if latest is not None and (number > self._number or not updated):
                break
            timeout_seconds = _RESEND_SECONDS
        video_frame, pts = latest
        if number == self._number:
            pts = self._pts + round((loop.time() - self._sent_at) * _CLOCK_RATE)
        self._number, self._pts, self._sent_at = number, max(pts, self._pts + 1), loop.time()
        return await loop.run_in_executor(None, self._copy_frame, video_frame, self._pts)
