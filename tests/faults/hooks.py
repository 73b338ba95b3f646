"""Loaded as ``--model`` by runs that meet a fault: the run waits at a place until the test has made the fault."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamcam.sinks import mp4
from streamcam.sinks.video import VideoSink
from tests.pipeline.models import brightness

HANG_SECONDS = 120


def waiting_model() -> Any:
    """The small model; waits at ``FAULT_PLACE``: ``load``, a number of frames, ``copy`` (finishing) or ``none``."""
    place = os.environ["FAULT_PLACE"]
    if place == "load":
        _wait()
    elif place == "copy":
        mp4._copy = _after_waiting(mp4._copy, lambda *_: True)
    elif place != "none":
        VideoSink._write = _after_waiting(  # type: ignore[method-assign]
            VideoSink._write, lambda sink, *_: sink.num_frames == int(place)
        )
    return brightness()


def _after_waiting(function: Callable[..., Any], is_place: Callable[..., bool]) -> Callable[..., Any]:
    def wait_and_call(*arguments: Any) -> Any:
        if is_place(*arguments):
            _wait()
        return function(*arguments)

    return wait_and_call


def _wait() -> None:
    folder = Path(os.environ["FAULT_FOLDER"])
    (folder / "reached").touch()
    deadline = time.monotonic() + HANG_SECONDS
    while not (folder / "go_on").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
