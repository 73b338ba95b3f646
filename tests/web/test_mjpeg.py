"""MJPEG streams: a slow viewer delays neither the camera nor other viewers."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import struct
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.types import Message

from streamcam.live.latest_value import LatestValue
from streamcam.options import ServerOptions
from streamcam.web import mjpeg, serve
from streamcam.web.server import Page

from ..live.fake_controller import FakeController
from ..live.http_client import open_stream, read_jpegs
from ..waiting import wait_until

pytestmark = pytest.mark.slow


def test_a_stream_is_jpegs_that_move(server: Page, controller: FakeController) -> None:
    with open_stream(server.url) as viewer:
        jpegs = read_jpegs(viewer)
        several: list[bytes] = []
        while len(several) < 5:
            if (jpeg := next(jpegs)) not in several:
                several.append(jpeg)
        for jpeg in several:
            with Image.open(io.BytesIO(jpeg)) as image:
                image.load()
                assert (image.format, image.size) == ("JPEG", (160, 96))
        assert controller.cameras["cam1"].jpegs.num_subscribers == 1
        assert controller.cameras["cam2"].jpegs.num_subscribers == 0
    wait_until(lambda: controller.cameras["cam1"].jpegs.num_subscribers == 0)


def test_a_stream_of_an_unknown_camera(client: httpx.Client) -> None:
    answer = client.get("/cameras/cam9/stream.mjpg")
    assert answer.status_code == 404
    assert answer.json() == {"detail": "unknown camera 'cam9'; expected one of cam1, cam2"}


def test_one_frame(client: httpx.Client, controller: FakeController) -> None:
    first, second = (client.get("/cameras/cam1/frame.jpg") for _ in range(2))
    assert first.headers["content-type"] == "image/jpeg"
    assert first.content != second.content
    assert Image.open(io.BytesIO(first.content)).size == (160, 96)
    wait_until(lambda: controller.cameras["cam1"].jpegs.num_subscribers == 0)


def test_a_paused_camera_sends_the_shown_frame_and_none_older(client: httpx.Client, controller: FakeController) -> None:
    camera = controller.cameras["cam1"]
    old = client.get("/cameras/cam1/frame.jpg").content
    begun = camera.shown
    wait_until(lambda: camera.shown > begun + 3)
    camera.pause(True)
    standing = camera.snapshot()
    assert standing is not None
    with open_stream(str(client.base_url)) as viewer:
        jpeg = next(read_jpegs(viewer))
    assert jpeg != old
    expected = np.asarray(Image.open(io.BytesIO(standing.png)), np.int16)
    assert np.abs(np.asarray(Image.open(io.BytesIO(jpeg)), np.int16) - expected).mean() < 3


def test_a_viewer_that_leaves_a_paused_camera_is_noticed(server: Page, controller: FakeController) -> None:
    camera = controller.cameras["cam1"]
    with open_stream(server.url) as viewer:
        next(read_jpegs(viewer))
        camera.pause(True)
        assert camera.jpegs.num_subscribers == 1
    wait_until(lambda: camera.jpegs.num_subscribers == 0)


class ManualCamera:
    """A camera whose frames the test puts."""

    def __init__(self) -> None:
        self.name = "cam1"
        self.jpegs = LatestValue(b"")

    def pause(self, paused: bool) -> None:
        raise AssertionError

    def shown_jpeg(self) -> bytes:
        return b""

    def snapshot(self) -> None:
        return None


@pytest.fixture
def manual_camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ManualCamera, Page]]:
    camera = ManualCamera()
    controller = FakeController("cam1")
    monkeypatch.setattr(FakeController, "handles", {"cam1": camera})
    with serve(controller, ServerOptions(port=0)) as server:
        yield camera, server


def test_a_viewer_that_does_not_read_delays_no_other(manual_camera: tuple[ManualCamera, Page]) -> None:
    camera, server = manual_camera
    size = 200_000
    counts = [0] * 19
    numbers: list[list[int]] = [[] for _ in counts]

    def read(number: int, viewer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for jpeg in read_jpegs(viewer):
                counts[number] += 1
                numbers[number].append(struct.unpack("<I", jpeg[:4])[0])

    def put(number: int) -> float:
        start = time.perf_counter()
        camera.jpegs.put(struct.pack("<I", number) + b"." * size)
        return time.perf_counter() - start

    with contextlib.ExitStack() as ending:
        stalled = ending.enter_context(open_stream(server.url, small=True))
        wait_until(lambda: camera.jpegs.num_subscribers == 1)
        viewers = [ending.enter_context(open_stream(server.url)) for _ in counts]
        wait_until(lambda: camera.jpegs.num_subscribers == 20)
        threads = [threading.Thread(target=read, args=(n, viewer)) for n, viewer in enumerate(viewers)]
        for thread in threads:
            thread.start()
        last, times = 0, []

        def put_until(count: int) -> int:
            """Put frames until each viewer has ``count``; return the memory in use once all have the last."""
            nonlocal last
            while min(counts) < count:
                last += 1
                times.append(put(last))
                time.sleep(0.01)
                assert last < 2000
            # A frame on its way to 19 viewers takes memory too, so measure when none is.
            wait_until(lambda: all(mine[-1] == last for mine in numbers))
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        ending.callback(tracemalloc.stop)
        before = put_until(20)
        grown = put_until(120) - before
        # The stalled viewer missed 100 frames at least since then.
        assert grown < 20 * size, f"{grown} bytes for {last} frames"
        # A put calls each subscriber and waits for none.
        assert sorted(times)[len(times) // 2] < 0.01
        # In order, and repeated at most once, if the next came late.
        assert all(mine == sorted(mine) for mine in numbers)
        assert all(max(Counter(mine).values()) <= 2 for mine in numbers)
        # A viewer that reads again gets the buffered frames, then the newest and none between.
        seen = (struct.unpack("<I", jpeg[:4])[0] for jpeg in read_jpegs(stalled))
        on_the_way = [next(seen)]
        put(last + 1)
        while on_the_way[-1] < last:
            on_the_way.append(next(seen))
        assert len(on_the_way) <= 6, on_the_way
        for viewer in viewers:
            viewer.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(20)
    wait_until(lambda: camera.jpegs.num_subscribers == 0)


def test_a_stalled_viewer_is_disconnected(
    manual_camera: tuple[ManualCamera, Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mjpeg, "_STALL_TIMEOUT_SECONDS", 0.5)
    camera, server = manual_camera
    with open_stream(server.url, small=True):
        wait_until(lambda: camera.jpegs.num_subscribers == 1)
        deadline = time.monotonic() + 20
        while camera.jpegs.num_subscribers and time.monotonic() < deadline:
            camera.jpegs.put(b"." * 500_000)
            time.sleep(0.05)
        assert camera.jpegs.num_subscribers == 0


def test_the_server_ends_promptly_with_open_streams(controller: FakeController) -> None:
    controller.compiling.clear()
    with contextlib.ExitStack() as ending:
        with serve(controller, ServerOptions(port=0)) as server:
            reading = ending.enter_context(open_stream(server.url))
            assert reading.recv(12) == b"HTTP/1.1 200"
            stuck = ending.enter_context(open_stream(server.url, small=True))
            wait_until(lambda: controller.cameras["cam1"].jpegs.num_subscribers == 2)
            # A long compilation does not delay the end either.
            changing = ending.enter_context(socket.create_connection(stuck.getpeername()))
            ending.callback(controller.compiling.set)
            body = b'{"method": "layercam"}'
            changing.sendall(
                b"PATCH /api/settings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            wait_until(lambda: controller.activity != "")
            start = time.monotonic()
        assert time.monotonic() - start < 2.9
        assert not [thread for thread in threading.enumerate() if thread.name == "streamcam-page"]
        # The stream ends with a last chunk instead of a cut connection.
        rest = b""
        while received := reading.recv(1 << 16):
            rest = (rest + received)[-16:]
        assert rest.endswith(b"\r\n0\r\n\r\n")
    assert controller.cameras["cam1"].jpegs.num_subscribers == 0


def test_a_viewer_with_room_again_gets_the_newest() -> None:
    camera = ManualCamera()
    sent: list[bytes] = []

    async def stream_with_little_room() -> None:
        writable, first = asyncio.Event(), asyncio.Event()
        writable.set()

        async def send(message: Message) -> None:
            # As servers do: wait for room, then send.
            await writable.wait()
            if b"image/jpeg" in message.get("body", b""):
                sent.append(message["body"].split(b"\r\n")[3])
                first.set()
                writable.clear()

        async def receive() -> Message:
            return await asyncio.Future()

        stream = asyncio.ensure_future(mjpeg.MjpegResponse(camera, asyncio.Event())({}, receive, send))
        while not camera.jpegs.num_subscribers:
            await asyncio.sleep(0)
        camera.jpegs.put(b"one")
        await asyncio.wait_for(first.wait(), 10)
        for jpeg in (b"two", b"three", b"four"):
            camera.jpegs.put(jpeg)
            await asyncio.sleep(0.02)
        writable.set()
        while len(sent) < 2:
            await asyncio.sleep(0.01)
        stream.cancel()

    asyncio.run(asyncio.wait_for(stream_with_little_room(), 20))
    assert sent == [b"one", b"four"]


class LateValue(LatestValue[bytes]):
    """Calls its subscribers when the value has been taken already."""

    @property
    def latest(self) -> tuple[int, bytes]:
        for callback in self._callbacks:
            callback()
        return super().latest


def test_a_late_update_sends_no_frame() -> None:
    camera = ManualCamera()
    camera.jpegs = LateValue(b"")
    came: list[bytes] = []

    async def collect() -> None:
        async for jpeg in mjpeg.latest_jpegs(camera):
            came.append(jpeg)  # noqa: PERF401 it never ends

    async def collect_for_a_while() -> None:
        collecting = asyncio.ensure_future(collect())
        while not camera.jpegs.num_subscribers:
            await asyncio.sleep(0)
        camera.jpegs.put(b"one")
        await asyncio.wait((collecting,), timeout=0.5)
        collecting.cancel()

    asyncio.run(collect_for_a_while())
    assert 1 <= len(came) <= 2


def test_a_frame_without_a_next_one_is_sent_again_once(manual_camera: tuple[ManualCamera, Page]) -> None:
    camera, server = manual_camera
    with open_stream(server.url) as viewer:
        wait_until(lambda: camera.jpegs.num_subscribers == 1)
        camera.jpegs.put(b"one")
        jpegs = read_jpegs(viewer)
        assert [next(jpegs), next(jpegs)] == [b"one", b"one"]
        viewer.settimeout(0.3)
        with pytest.raises(TimeoutError):
            next(jpegs)
