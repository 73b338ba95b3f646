"""WebRTC sessions with viewers made by aiortc."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from av.video.frame import VideoFrame

from streamcam.live.latest_value import LatestValue
from streamcam.media.planes import plane_arrays
from streamcam.options import ServerOptions
from streamcam.web import serve, webrtc
from streamcam.web.server import Page

from ..live.fake_controller import FakeController
from ..live.live_runs import job, run_in_thread
from ..waiting import wait_until as wait_in_thread

pytestmark = pytest.mark.slow

aiortc = pytest.importorskip("aiortc", reason="needs aiortc: pip install 'streamcam[webrtc]'")
ice = pytest.importorskip("aioice.ice")
if not ice.get_host_addresses(True, True):
    pytest.skip("needs a network address beside that of this machine alone", allow_module_level=True)

from aiortc.codecs import vpx  # noqa: E402

from streamcam.web import webrtc_session  # noqa: E402 needs aiortc

TIMEOUT_SECONDS = 15


def flat(size: tuple[int, int] = (160, 96), luma: int = 100, blue: int = 90, red: int = 180) -> VideoFrame:
    frame = VideoFrame(*size, "yuv420p")
    for plane, value in zip(plane_arrays(frame), (luma, blue, red), strict=True):
        plane[...] = value
    return frame


def means(frame: VideoFrame) -> list[float]:
    return [float(plane.mean()) for plane in plane_arrays(frame)]


def connection() -> Any:
    return aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))


async def offer(of: Any) -> dict[str, str]:
    await of.setLocalDescription()
    return {"sdp": of.localDescription.sdp, "type": "offer"}


@contextlib.asynccontextmanager
async def connect_viewer(
    url: str, camera: str = "cam1"
) -> AsyncIterator[tuple[Any, Callable[[], Awaitable[VideoFrame]]]]:
    """A connected viewer, and a function that returns its next frame."""
    mine = connection()
    try:
        mine.addTransceiver("video", direction="recvonly")
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            answer = await client.post(f"/api/cameras/{camera}/webrtc", json=await offer(mine))
        assert answer.status_code == 200, answer.text
        await mine.setRemoteDescription(aiortc.RTCSessionDescription(**answer.json()))
        track = mine.getReceivers()[0].track
        yield mine, lambda: asyncio.wait_for(track.recv(), TIMEOUT_SECONDS)
    finally:
        await mine.close()


async def wait_until(true: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_in_thread, true)


class Camera:
    """A camera that repeats the test's frame at 25 a second."""

    def __init__(self) -> None:
        self.name = "cam1"
        self.jpegs = LatestValue(b"")
        self.frames: LatestValue[tuple[VideoFrame, int] | None] = LatestValue(None)
        self.frame = flat()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Camera:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        pts = 0
        while not self._over.wait(0.04):
            pts += 3600
            self.frames.put((self.frame, pts))


@pytest.fixture
def camera() -> Iterator[Camera]:
    with Camera() as camera:
        yield camera


@pytest.fixture
def server(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    monkeypatch.setattr(FakeController, "handles", {"cam1": camera})
    with serve(FakeController("cam1", webrtc=True), ServerOptions(port=0)) as server:
        yield server


def test_frames_arrive_and_change(server: Page, camera: Camera) -> None:
    async def watch() -> None:
        async with connect_viewer(server.url) as (_, following):
            first = await following()
            assert (first.width, first.height) == (160, 96)
            assert np.allclose(means(first), (100, 90, 180), atol=2)
            assert camera.frames.num_subscribers == 1
            assert camera.jpegs.num_subscribers == 0
            camera.frame = flat(luma=180, blue=150, red=60)
            last = first
            while not np.allclose(means(last), (180, 150, 60), atol=2):
                before, last = last.pts, await following()
                assert last.pts > before
        await wait_until(lambda: camera.frames.num_subscribers == 0)

    asyncio.run(asyncio.wait_for(watch(), 60))


def test_the_size_changes_in_between(server: Page, camera: Camera) -> None:
    async def watch() -> None:
        async with connect_viewer(server.url) as (_, following):
            await following()
            for size in ((320, 180), (98, 66)):
                camera.frame = flat(size, luma=60)
                while ((shown := await following()).width, shown.height) != size:
                    pass
                assert np.allclose(means(shown), (60, 90, 180), atol=2)

    asyncio.run(asyncio.wait_for(watch(), 60))


def test_the_bit_rate_starts_high_and_may_rise() -> None:
    encoder = vpx.Vp8Encoder()
    assert encoder.target_bitrate == 4_000_000
    encoder.target_bitrate = 20_000_000  # what a browser may ask for
    assert encoder.target_bitrate == 8_000_000


def test_a_stalled_camera_shows_its_last_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Camera()  # not entered: it repeats no frame
    camera.frames.put((flat(luma=70), 9000))
    monkeypatch.setattr(FakeController, "handles", {"cam1": camera})

    async def watch(url: str) -> None:
        async with connect_viewer(url) as (_, following):
            first, second = await following(), await following()
            assert np.allclose(means(second), (70, 90, 180), atol=2)
            assert 0.5 < (second.pts - first.pts) / 90_000 < 10
            # After the pause, its pts may be behind that of the repetition.
            camera.frames.put((flat(luma=170), 9001))
            last = second
            while not np.allclose(means(last), (170, 90, 180), atol=2):
                before, last = last.pts, await following()
                assert last.pts > before

    with serve(FakeController("cam1", webrtc=True), ServerOptions(port=0)) as server:
        asyncio.run(asyncio.wait_for(watch(server.url), 60))


def test_the_latest_frame_is_sent_and_none_twice() -> None:
    async def take() -> list[tuple[int, int]]:
        frames: LatestValue[tuple[VideoFrame, int] | None] = LatestValue(None)
        updated, taken = asyncio.Event(), []
        track = webrtc_session._Track(frames, updated)
        with frames.subscribe(updated.set):
            coming = asyncio.ensure_future(track.recv())
            await asyncio.sleep(0)
            frames.put((flat(), 3600))
            taken.append(await asyncio.wait_for(coming, TIMEOUT_SECONDS))
            for n in range(2, 6):
                frames.put((flat(luma=n), n * 3600))
            taken.append(await asyncio.wait_for(track.recv(), TIMEOUT_SECONDS))
            updated.set()  # a late update
            late = asyncio.ensure_future(track.recv())
            done, _ = await asyncio.wait((late,), timeout=0.3)
            assert not done
            frames.put((flat(luma=6), 6 * 3600))
            taken.append(await asyncio.wait_for(late, TIMEOUT_SECONDS))
        return [(round(means(one)[0]), one.pts) for one in taken]

    assert asyncio.run(take()) == [(100, 3600), (5, 5 * 3600), (6, 6 * 3600)]


async def post(url: str, sent: dict[str, str], camera: str = "cam1", **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        return await client.post(f"/api/cameras/{camera}/webrtc", json=sent, headers=headers)


async def make_offer(*kinds: tuple[str, str], channel: bool = False) -> dict[str, str]:
    """An offer of several sections."""
    of = connection()
    for kind, direction in kinds:
        of.addTransceiver(kind, direction=direction)
    if channel:
        of.createDataChannel("more")
    made = await offer(of)
    await of.close()
    return made


def test_an_unknown_camera(server: Page) -> None:
    async def ask() -> httpx.Response:
        return await post(server.url, await make_offer(("video", "recvonly")), "cam9")

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()) == (404, {"detail": "unknown camera 'cam9'; expected one of cam1"})


def test_without_the_extra_a_session_is_refused() -> None:
    async def ask(url: str) -> httpx.Response:
        return await post(url, await make_offer(("video", "recvonly")))

    with serve(FakeController("cam1"), ServerOptions(port=0)) as server:
        answer = asyncio.run(ask(server.url))
        assert httpx.get(f"{server.url}api/status").json()["webrtc"] is False
    assert answer.status_code == 409
    assert answer.json() == {"detail": "WebRTC needs aiortc; pip install 'streamcam[webrtc]'"}


def test_other_offers_are_refused_and_leave_no_session(server: Page, camera: Camera) -> None:
    async def ask() -> None:
        good = await make_offer(("video", "recvonly"))
        for sent in (
            await make_offer(("video", "sendrecv")),
            await make_offer(("video", "recvonly"), ("audio", "recvonly")),
            await make_offer(("audio", "recvonly")),
            await make_offer(("video", "recvonly"), channel=True),
            {"sdp": "none", "type": "offer"},
            {"sdp": "v=0\r\nm=video\r\n", "type": "offer"},
            {"sdp": good["sdp"].replace("VP8", "VP9").replace("H264", "H265"), "type": "offer"},
            {"sdp": good["sdp"].replace("a=ice-pwd", "a=nothing"), "type": "offer"},
            {"sdp": good["sdp"].replace("a=fingerprint", "a=nothing"), "type": "offer"},
        ):
            answer = await post(server.url, sent)
            assert answer.status_code == 409, sent["sdp"]
            assert answer.json()["detail"].endswith("expected SDP of one recvonly video in VP8 or H.264")
        assert (await post(server.url, good | {"type": "answer"})).status_code == 422
        assert (await post(server.url, good, origin="http://elsewhere.example")).status_code == 403
        await wait_until(lambda: camera.frames.num_subscribers == 0)

    asyncio.run(asyncio.wait_for(ask(), 60))


def test_sessions_are_limited_and_unused_ones_end(
    server: Page, camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webrtc_session, "_CONNECT_TIMEOUT_SECONDS", 2.5)

    async def ask() -> None:
        async with connect_viewer(server.url) as (_, following):
            await following()
            sent = await make_offer(("video", "recvonly"))
            answers = await asyncio.gather(*(post(server.url, sent) for _ in range(20)))
            assert webrtc._MAX_PEERS == 8
            assert sorted(answer.status_code for answer in answers) == [200] * 7 + [409] * 13
            refused = next(answer for answer in answers if answer.status_code == 409)
            assert refused.json() == {"detail": "all 8 WebRTC sessions are in use; use stream.mjpg, or try later"}
            assert camera.frames.num_subscribers == 8
            await wait_until(lambda: camera.frames.num_subscribers == 1)
            assert (await post(server.url, sent)).status_code == 200
            await following()

    asyncio.run(asyncio.wait_for(ask(), 60))


def test_the_server_ends_promptly_with_open_sessions(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeController, "handles", {"cam1": camera})
    before = set(threading.enumerate())

    async def watch() -> None:
        with contextlib.ExitStack() as ending:
            page = ending.enter_context(serve(FakeController("cam1", webrtc=True), ServerOptions(port=0)))
            async with connect_viewer(page.url) as (first, following), connect_viewer(page.url) as (_, other):
                await asyncio.gather(following(), other())
                assert (await post(page.url, await make_offer(("video", "recvonly")))).status_code == 200
                assert camera.frames.num_subscribers == 3
                start = time.monotonic()
                await asyncio.to_thread(ending.close)
                assert time.monotonic() - start < 2
                assert camera.frames.num_subscribers == 0
                await wait_until(lambda: first.connectionState == "closed")

    asyncio.run(asyncio.wait_for(watch(), 60))
    wait_in_thread(lambda: set(threading.enumerate()) <= before)


def test_with_a_token(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeController, "handles", {"cam1": camera})

    async def ask(url: str) -> None:
        sent = await make_offer(("video", "recvonly"))
        assert (await post(url, sent)).status_code == 401
        assert (await post(url, sent, authorization="Bearer secret-of-16-chars")).status_code == 200

    with serve(FakeController("cam1", webrtc=True), ServerOptions(port=0, token="secret-of-16-chars")) as server:
        asyncio.run(asyncio.wait_for(ask(server.url), 60))


def test_webrtc_loads_beside_tensorflow() -> None:
    """Their cryptography libraries have the same names."""
    work = (
        "import tensorflow, streamcam.web.webrtc, aiortc, pylibsrtp\n"
        "pylibsrtp.Session(pylibsrtp.Policy(key=bytes(30), ssrc_type=3))"
    )
    assert subprocess.run([sys.executable, "-c", work], capture_output=True, timeout=120).returncode == 0


def test_a_run_of_an_odd_size_and_ten_bits() -> None:
    async def watch(url: str) -> None:
        async with connect_viewer(url) as (_, following):
            shown = await following()
            assert (shown.width, shown.height) == (162, 98)
            assert run.controller.status().cameras[0].viewers == 1
            first = plane_arrays(shown)[0].copy()
            while (np.abs(plane_arrays(await following())[0].astype(int) - first) > 40).mean() < 0.005:
                pass

    odd = "lavfi:testsrc=size=161x97:rate=25,format=yuv444p10le"
    with run_in_thread(job(odd)) as run:
        assert run.controller.status().webrtc is True
        run.wait_until(lambda status: status.cameras[0].frames_shown)
        with serve(run.controller, ServerOptions(port=0)) as server:
            asyncio.run(asyncio.wait_for(watch(server.url), 60))
        run.wait_until(lambda status: status.cameras[0].viewers == 0)
