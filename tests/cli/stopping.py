"""Models and inputs that interrupt or end their process at a known place."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path
from typing import Any

import streamcam.prepare
from streamcam.concurrency.capacity import Capacity
from streamcam.sinks.video import VideoSink
from tests.pipeline.models import brightness

HANG_SECONDS = 120


def swallows_the_interrupt() -> Any:
    """A model whose library drops an interrupt: loading goes on."""
    with contextlib.suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    return brightness()


def turns_the_interrupt_into_an_error() -> Any:
    """A model whose library reports an interrupt as a failure of its own."""
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        raise ImportError("the library cannot be loaded") from None


def aborts_on_some_inputs() -> Any:
    """A model that makes inputs named ``abort…`` end the process, as an assertion in FFmpeg does."""
    open_source = streamcam.prepare.open_source

    def open_or_abort(options: Any, **more: Any) -> Any:
        if "abort" in options.url:
            os.abort()
        return open_source(options, **more)

    streamcam.prepare.open_source = open_or_abort
    return brightness()


def aborts_beside_others() -> Any:
    """As `aborts_on_some_inputs`, when two other inputs have written frames: on a machine with many cores.

    The others wait for it; in a later process, which finds the file ``CRASH_MARKER``, they do not.
    """
    marker = Path(os.environ["CRASH_MARKER"])
    open_source, write = streamcam.prepare.open_source, VideoSink._write
    have_written = threading.Semaphore(0)

    def open_or_abort(options: Any, **more: Any) -> Any:
        if "abort" in options.url:
            if not marker.exists():
                for _ in range(2):
                    have_written.acquire(timeout=HANG_SECONDS)
                marker.touch()
            os.abort()
        return open_source(options, **more)

    def write_and_wait(sink: Any, *arguments: Any) -> Any:
        if sink.num_frames == 25 and not marker.exists():
            have_written.release()
            threading.Event().wait(HANG_SECONDS)
        return write(sink, *arguments)

    streamcam.prepare.open_source = open_or_abort
    VideoSink._write = write_and_wait  # type: ignore[method-assign]
    Capacity.of_this_machine = lambda devices: Capacity(64, 8 << 30)  # type: ignore[method-assign, assignment]
    return brightness()
