"""A camera that is read in a thread, as a pipeline would, and watched."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from streamcam.errors import SourceError
from streamcam.frames import Frame, SourceInfo
from streamcam.notes import collect_notes
from streamcam.options import CameraOptions
from streamcam.sources import open_camera
from streamcam.sources.cameras.thinning import NO_LIMIT, FrameLimit

TIMEOUT_SECONDS = 30.0
"""Seconds; generous, as other work may go on beside the tests."""


class CameraReader:
    """The frames that a camera has delivered so far, without their images."""

    def __init__(self, url: str, *, frame_limit: Callable[[], FrameLimit] = lambda: NO_LIMIT, **options: Any) -> None:
        self.messages: list[str] = []
        self.ages: list[float] = []
        self.camera = open_camera(CameraOptions(url=url, **options), frame_limit=frame_limit)
        self.infos: list[SourceInfo] = []
        self.frames: list[Frame] = []
        self.error: SourceError | None = None
        self.thread = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        with collect_notes(self.messages.append):
            self._iterate()

    def _iterate(self) -> None:
        try:
            for info, frame in self.camera:
                assert (frame.video_frame.width, frame.video_frame.height) == (info.width, info.height)
                assert frame.video_frame.format.name == info.pixel_format
                if not self.infos or self.infos[-1] is not info:
                    self.infos.append(info)
                self.ages.append(time.monotonic() - frame.capture_time)
                times = {"arrival_time": frame.arrival_time, "capture_time": frame.capture_time}
                self.frames.append(Frame(frame.index, frame.pts, None, **times))  # type: ignore[arg-type]
        except SourceError as error:
            self.error = error

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Waits for something to become true."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.messages[-3:]}, {self.error}, {len(self.frames)} frames"
            assert self.thread.is_alive() or condition(), f"{what}: it has ended ({self.error})"
            time.sleep(0.005)

    def wait_for_frames(self, count: int) -> None:
        """Waits for so many frames more."""
        total = len(self.frames) + count
        self.wait_until(lambda: len(self.frames) >= total, f"{count} frames more")


@contextlib.contextmanager
def read_camera(url: str, **options: Any) -> Iterator[CameraReader]:
    """Reads a camera while the block runs; then it is stopped, and its thread must end."""
    watch = CameraReader(url, **options)
    watch.thread.start()
    try:
        yield watch
    finally:
        watch.camera.stop()
        watch.thread.join(TIMEOUT_SECONDS)
    assert not watch.thread.is_alive()
    assert watch.camera.state == "ended"
    stamps = [frame.pts for frame in watch.frames]
    assert [frame.index for frame in watch.frames] == list(range(len(stamps)))
    assert all(a < b for a, b in pairwise(stamps))


def error_of(url: str, **options: Any) -> str:
    """The line that a camera ends with."""
    watch = CameraReader(url, **options)
    watch._read()
    assert watch.error is not None
    assert watch.camera.state == "ended"
    assert watch.camera.last_error == str(watch.error)
    assert "\n" not in str(watch.error)
    return str(watch.error)
