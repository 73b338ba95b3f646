"""Streams: watching never disturbs the one who is watched, nor other watchers."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.types import Message

from streamcam.config import PageOptions
from streamcam.live.broadcast import Broadcast
from streamcam.live.page import Page, serve, watching

from .fake_studio import FakeStudio
from .visiting import parts, until, watch


@pytest.fixture
def studio() -> Iterator[FakeStudio]:
    with FakeStudio("cam1", "cam2", size=(160, 96)) as studio:
        yield studio


@pytest.fixture
def served(studio: FakeStudio) -> Iterator[Page]:
    with serve(studio, PageOptions(port=0)) as served:
        yield served


@pytest.fixture
def client(served: Page) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=20) as client:
        yield client


def test_a_stream_is_jpegs_that_move(served: Page, studio: FakeStudio) -> None:
    with watch(served.url) as watcher:
        pictures = parts(watcher)
        several: list[bytes] = []
        while len(several) < 5:
            if (picture := next(pictures)) not in several:
                several.append(picture)
        for picture in several:
            with Image.open(io.BytesIO(picture)) as image:
                image.load()
                assert (image.format, image.size) == ("JPEG", (160, 96))
        assert studio.cameras["cam1"].jpegs.watchers == 1
        assert studio.cameras["cam2"].jpegs.watchers == 0
    until(lambda: studio.cameras["cam1"].jpegs.watchers == 0)


def test_no_stream_of_no_camera(client: httpx.Client) -> None:
    answer = client.get("/cameras/cam9/stream.mjpg")
    assert answer.status_code == 404
    assert answer.json() == {"detail": "there is no camera 'cam9'; there are cam1, cam2"}


def test_one_picture(client: httpx.Client, studio: FakeStudio) -> None:
    first, second = (client.get("/cameras/cam1/picture.jpg") for _ in range(2))
    assert first.headers["content-type"] == "image/jpeg"
    assert first.content != second.content
    assert Image.open(io.BytesIO(first.content)).size == (160, 96)
    until(lambda: studio.cameras["cam1"].jpegs.watchers == 0)


def test_a_paused_camera_shows_what_stands_and_no_older_picture(client: httpx.Client, studio: FakeStudio) -> None:
    camera = studio.cameras["cam1"]
    old = client.get("/cameras/cam1/picture.jpg").content
    begun = camera.shown
    until(lambda: camera.shown > begun + 3)
    camera.pause(True)
    standing = camera.snapshot()
    assert standing is not None
    with watch(str(client.base_url)) as watcher:
        picture = next(parts(watcher))
    assert picture != old
    expected = np.asarray(Image.open(io.BytesIO(standing.png)), np.int16)
    assert np.abs(np.asarray(Image.open(io.BytesIO(picture)), np.int16) - expected).mean() < 3


def test_a_watcher_that_leaves_a_paused_camera_is_noticed(served: Page, studio: FakeStudio) -> None:
    camera = studio.cameras["cam1"]
    with watch(served.url) as watcher:
        next(parts(watcher))
        camera.pause(True)
        assert camera.jpegs.watchers == 1
    until(lambda: camera.jpegs.watchers == 0)


class Fed:
    """A camera whose pictures the test puts."""

    def __init__(self) -> None:
        self.name = "cam1"
        self.jpegs = Broadcast(b"")

    def pause(self, paused: bool) -> None:
        raise AssertionError

    def snapshot(self) -> None:
        return None


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Fed, Page]]:
    camera = Fed()
    studio = FakeStudio("cam1")
    monkeypatch.setattr(FakeStudio, "monitors", {"cam1": camera})
    with serve(studio, PageOptions(port=0)) as served:
        yield camera, served


def test_who_does_not_read_loses_only_his_own(fed: tuple[Fed, Page]) -> None:
    camera, served = fed
    size = 200_000
    counts = [0] * 19
    numbers: list[list[int]] = [[] for _ in counts]

    def read(number: int, watcher: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for picture in parts(watcher):
                counts[number] += 1
                numbers[number].append(struct.unpack("<I", picture[:4])[0])

    def put(number: int) -> float:
        start = time.perf_counter()
        camera.jpegs.put(struct.pack("<I", number) + b"." * size)
        return time.perf_counter() - start

    with contextlib.ExitStack() as ending:
        stuck = ending.enter_context(watch(served.url, small=True))
        until(lambda: camera.jpegs.watchers == 1)
        watchers = [ending.enter_context(watch(served.url)) for _ in counts]
        until(lambda: camera.jpegs.watchers == 20)
        threads = [threading.Thread(target=read, args=(n, watcher)) for n, watcher in enumerate(watchers)]
        for thread in threads:
            thread.start()
        before, last, times = 0, 0, []
        while min(counts) < 120:
            last += 1
            times.append(put(last))
            time.sleep(0.01)
            if not before and min(counts) > 20:
                before = resident()
            assert last < 2000
        grown = resident() - before
        # What the stuck one missed since then is 100 pictures at least.
        assert grown < 20 * size, f"{grown} bytes for {last} pictures"
        # Putting one rings a bell for each watcher, and waits for nobody.
        assert sorted(times)[len(times) // 2] < 0.01
        # In order, and again at most once, where the next came late.
        assert all(mine == sorted(mine) for mine in numbers)
        assert all(max(Counter(mine).values()) <= 2 for mine in numbers)
        # Who begins to read again gets what was on its way, then the newest and nothing between.
        seen = (struct.unpack("<I", picture[:4])[0] for picture in parts(stuck))
        on_the_way = [next(seen)]
        put(last + 1)
        while on_the_way[-1] < last:
            on_the_way.append(next(seen))
        assert len(on_the_way) <= 6, on_the_way
        for watcher in watchers:
            watcher.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(20)
    until(lambda: camera.jpegs.watchers == 0)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_who_stalls_for_long_is_sent_away(fed: tuple[Fed, Page], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_STALLED", 0.5)
    camera, served = fed
    with watch(served.url, small=True):
        until(lambda: camera.jpegs.watchers == 1)
        deadline = time.monotonic() + 20
        while camera.jpegs.watchers and time.monotonic() < deadline:
            camera.jpegs.put(b"." * 500_000)
            time.sleep(0.05)
        assert camera.jpegs.watchers == 0


def test_it_ends_promptly_while_it_is_watched(studio: FakeStudio) -> None:
    studio.compiling.clear()
    with contextlib.ExitStack() as ending:
        with serve(studio, PageOptions(port=0)) as served:
            reading = ending.enter_context(watch(served.url))
            assert reading.recv(12) == b"HTTP/1.1 200"
            stuck = ending.enter_context(watch(served.url, small=True))
            until(lambda: studio.cameras["cam1"].jpegs.watchers == 2)
            # A change that compiles for long does not hold it up either.
            changing = ending.enter_context(socket.create_connection(stuck.getpeername()))
            ending.callback(studio.compiling.set)
            body = b'{"method": "layercam"}'
            changing.sendall(
                b"PATCH /api/settings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            until(lambda: studio.busy != "")
            start = time.monotonic()
        assert time.monotonic() - start < 2.9
        assert not [thread for thread in threading.enumerate() if thread.name == "streamcam-page"]
        # The stream comes to an end, it is not cut off.
        rest = b""
        while received := reading.recv(1 << 16):
            rest = (rest + received)[-16:]
        assert rest.endswith(b"\r\n0\r\n\r\n")
    assert studio.cameras["cam1"].jpegs.watchers == 0


def test_who_has_room_again_gets_the_newest() -> None:
    camera = Fed()
    sent: list[bytes] = []

    async def watched_with_little_room() -> None:
        room, first = asyncio.Event(), asyncio.Event()
        room.set()

        async def send(message: Message) -> None:
            # As servers do: they wait where there is no room, then send.
            await room.wait()
            if b"image/jpeg" in message.get("body", b""):
                sent.append(message["body"].split(b"\r\n")[3])
                first.set()
                room.clear()

        async def receive() -> Message:
            return await asyncio.Future()

        stream = asyncio.ensure_future(watching.Stream(camera, asyncio.Event())({}, receive, send))
        while not camera.jpegs.watchers:
            await asyncio.sleep(0)
        camera.jpegs.put(b"one")
        await asyncio.wait_for(first.wait(), 10)
        for picture in (b"two", b"three", b"four"):
            camera.jpegs.put(picture)
            await asyncio.sleep(0.02)
        room.set()
        while len(sent) < 2:
            await asyncio.sleep(0.01)
        stream.cancel()

    asyncio.run(asyncio.wait_for(watched_with_little_room(), 20))
    assert sent == [b"one", b"four"]


class Late(Broadcast[bytes]):
    """Its bells ring when the picture has been taken already."""

    @property
    def newest(self) -> tuple[int, bytes]:
        for bell in self._bells:
            bell()
        return super().newest


def test_a_late_bell_brings_no_picture() -> None:
    camera = Fed()
    camera.jpegs = Late(b"")
    came: list[bytes] = []

    async def look() -> None:
        async for picture in watching.pictures(camera):
            came.append(picture)  # noqa: PERF401 it never ends

    async def look_for_a_while() -> None:
        looking = asyncio.ensure_future(look())
        while not camera.jpegs.watchers:
            await asyncio.sleep(0)
        camera.jpegs.put(b"one")
        await asyncio.wait((looking,), timeout=0.5)
        looking.cancel()

    asyncio.run(look_for_a_while())
    assert 1 <= len(came) <= 2


def test_a_picture_with_no_next_one_is_sent_again_once(fed: tuple[Fed, Page]) -> None:
    camera, served = fed
    with watch(served.url) as watcher:
        until(lambda: camera.jpegs.watchers == 1)
        camera.jpegs.put(b"one")
        pictures = parts(watcher)
        assert [next(pictures), next(pictures)] == [b"one", b"one"]
        watcher.settimeout(0.3)
        with pytest.raises(TimeoutError):
            next(pictures)
