"""A camera that is read in a thread, as a pipeline would, and watched."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from streamcam.config import CameraOptions
from streamcam.errors import SourceError
from streamcam.frames import Frame, SourceInfo
from streamcam.sources import open_camera

PATIENCE = 30.0
"""Seconds; generous, as other work may go on beside the tests."""


class Watched:
    """What a camera has delivered so far, without the pictures of old frames."""

    def __init__(self, url: str, **options: Any) -> None:
        self.said: list[str] = []
        self.camera = open_camera(CameraOptions(url=url, **options), self.said.append)
        self.infos: list[SourceInfo] = []
        self.frames: list[Frame] = []
        self.error: SourceError | None = None
        self.thread = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        try:
            for info, frame in self.camera:
                assert (frame.picture.width, frame.picture.height) == (info.width, info.height)
                assert frame.picture.format.name == info.pixel_format
                if not self.infos or self.infos[-1] is not info:
                    self.infos.append(info)
                self.frames.append(Frame(frame.index, frame.pts, None, arrived=frame.arrived))  # type: ignore[arg-type]
        except SourceError as error:
            self.error = error

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Waits for something to become true."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.said[-3:]}, {self.error}, {len(self.frames)} frames"
            assert self.thread.is_alive() or condition(), f"{what}: it has ended ({self.error})"
            time.sleep(0.005)

    def further(self, count: int) -> None:
        """Waits for so many frames more."""
        wanted = len(self.frames) + count
        self.until(lambda: len(self.frames) >= wanted, f"{count} frames more")


@contextlib.contextmanager
def watched(url: str, **options: Any) -> Iterator[Watched]:
    """Reads a camera while the block runs; then it is stopped, and its thread must end."""
    watch = Watched(url, **options)
    watch.thread.start()
    try:
        yield watch
    finally:
        watch.camera.stop()
        watch.thread.join(PATIENCE)
    assert not watch.thread.is_alive()
    assert watch.camera.state == "ended"
    stamps = [frame.pts for frame in watch.frames]
    assert [frame.index for frame in watch.frames] == list(range(len(stamps)))
    assert all(a < b for a, b in pairwise(stamps))


def error_of(url: str, **options: Any) -> str:
    """The line that a camera ends with."""
    watch = Watched(url, **options)
    watch._read()
    assert watch.error is not None
    assert watch.camera.state == "ended"
    assert watch.camera.trouble == str(watch.error)
    assert "\n" not in str(watch.error)
    return str(watch.error)
