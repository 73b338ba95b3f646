"""One WebRTC session. Needs aiortc, which sends and encodes in the event loop's thread pool."""

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
"""Seconds from the answer until the viewer must connect."""
_RESEND_SECONDS = 1.0
"""Seconds without a new frame after which one is sent again: the viewer may have lost the first."""
_CLOCK_RATE = 90_000

# aiortc has no option for it. From its default rate, browsers raise it so slowly that quality is poor for minutes.
# On a slower network the browser requests a lower rate.
vpx.DEFAULT_BITRATE, vpx.MAX_BITRATE = 4_000_000, 8_000_000

# Without a handler, warnings and tracebacks of aiortc go to standard error.
logging.getLogger("aiortc").addHandler(logging.NullHandler())


async def send_video(
    frames: LatestValue[tuple[VideoFrame, int] | None], offer: str, answer: asyncio.Future[str]
) -> None:
    """Send frames to one viewer.

    Returns when the viewer leaves or is lost, or the task is cancelled.

    Args:
        frames: source; the latest frame is sent whenever the encoder is free.
        offer: SDP of the viewer.
        answer: receives the SDP answer, or a `StreamcamError`.
    """
    loop = asyncio.get_running_loop()
    updated, connected, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    # No STUN or TURN servers: browser and camera must reach each other directly.
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
    """Negotiate one video to send, and return the SDP answer.

    Raises:
        StreamcamError: the offer is invalid.
    """
    sending = connection.addTransceiver(track, direction="sendonly")
    # The first is VP8, which takes a quarter of the time of H.264.
    sending.setCodecPreferences(RTCRtpSender.getCapabilities("video").codecs)
    try:
        first, *others = SessionDescription.parse(offer).media
        if others or (first.kind, first.direction) != ("video", "recvonly"):
            raise ValueError("not one video to receive")
        if first.dtls is None or not first.dtls.fingerprints:
            raise ValueError("no fingerprint")
        await connection.setRemoteDescription(RTCSessionDescription(_without_candidates(offer), "offer"))
        await connection.setLocalDescription()
    # On invalid SDP, the parser raises errors of any type.
    except Exception as error:
        raise StreamcamError(f"invalid offer: {error}", expected="SDP of one recvonly video in VP8 or H.264") from error
    return connection.localDescription.sdp


def _without_candidates(offer: str) -> str:
    """Drop the viewer's addresses: it reaches this server anyway, and no packet goes to an address of its choice.

    Browsers hide their addresses behind mDNS names, and a failing lookup would take a second.
    """
    dropped = "a=candidate:", "a=end-of-candidates"
    return "".join(line for line in offer.splitlines(keepends=True) if not line.startswith(dropped))


class _Track(MediaStreamTrack):
    """The latest frame at each `recv`."""

    kind = "video"

    def __init__(self, frames: LatestValue[tuple[VideoFrame, int] | None], updated: asyncio.Event) -> None:
        super().__init__()
        self._frames, self._updated = frames, updated
        self._copy_frame = WebRtcConverter().convert
        self._number = self._pts = 0
        self._sent_at = 0.0

    async def recv(self) -> VideoFrame:
        """Wait for a newer frame; return the shown one at the first call, or if none comes."""
        loop = asyncio.get_running_loop()
        timeout_seconds = _RESEND_SECONDS if self._number else 0.0
        while True:
            updated = await wait_for_event(self._updated, timeout_seconds)
            self._updated.clear()
            number, latest = self._frames.latest
            # An update may arrive late, for a frame already sent.
            if latest is not None and (number > self._number or not updated):
                break
            timeout_seconds = _RESEND_SECONDS
        video_frame, pts = latest
        if number == self._number:
            pts = self._pts + round((loop.time() - self._sent_at) * _CLOCK_RATE)
        self._number, self._pts, self._sent_at = number, max(pts, self._pts + 1), loop.time()
        return await loop.run_in_executor(None, self._copy_frame, video_frame, self._pts)
