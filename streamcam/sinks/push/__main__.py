"""The worker process of a live output."""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Iterator
from io import BufferedReader
from typing import Protocol

from av.video.frame import VideoFrame

from ...errors import StreamcamError
from .destinations import Destination, resolve_destination
from .encoder import PeerLostError, StreamEncoder
from .protocol import EXIT_FAILED, EXIT_LOST, WorkerConfig, read_frames
from .writers import FileWriter, Y4mWriter, write_segments

_POLL_SECONDS = 0.5


class _Writer(Protocol):
    def write(self, frame: VideoFrame, pts: int) -> None: ...

    def close(self) -> None: ...


def main() -> int:
    """Write the frames from standard input until it ends.

    Returns:
        0, or one of the codes in `streamcam.sinks.push.protocol`.
    """
    # Ctrl-C is for the parent process; this one ends when its input does.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # Default action: ends the process without Python, since a call that never returns may hold the GIL.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with open(0, "rb") as file:
        line = file.readline()
        if not line:
            return 0
        config = WorkerConfig.from_json_line(line)
        try:
            _write(config, resolve_destination(config.options), file)
        except StreamcamError as error:
            _send_reply(error=str(error))
            return EXIT_LOST if isinstance(error, PeerLostError) else EXIT_FAILED
    return 0


def _write(config: WorkerConfig, destination: Destination, file: BufferedReader) -> None:
    is_reported = False

    def report_running() -> None:
        nonlocal is_reported
        if not is_reported:
            is_reported = True
            _send_reply(state="running")

    frames = _drop_unordered(read_frames(file))
    if destination.name == "segments":
        write_segments(config, frames, report_running)
        return
    if destination.stdout:
        _exit_if_orphaned(destination.shutdown_timeout_seconds)
    writer: _Writer = (
        FileWriter(config)
        if destination.name == "file"
        else Y4mWriter(config)
        if destination.name == "YUV4MPEG2"
        else StreamEncoder(config, destination)
    )
    for frame, pts in frames:
        writer.write(frame, pts)
        report_running()
    writer.close()


def _drop_unordered(frames: Iterator[tuple[VideoFrame, int]]) -> Iterator[tuple[VideoFrame, int]]:
    """Drop frames whose time is not after the one before."""
    last_pts: int | None = None
    for frame, pts in frames:
        if last_pts is None or pts > last_pts:
            yield frame, pts
            last_pts = pts


def _exit_if_orphaned(timeout_seconds: float) -> None:
    """End the process soon after its input ends.

    Needed if the reader of its output stalls.
    """
    stdin_poll = select.poll()
    stdin_poll.register(0, 0)
    orphaned_seconds = 0.0

    def check_stdin(*_: object) -> None:
        nonlocal orphaned_seconds
        if stdin_poll.poll(0):
            orphaned_seconds += _POLL_SECONDS
            if orphaned_seconds > timeout_seconds:
                os._exit(EXIT_FAILED)

    signal.signal(signal.SIGALRM, check_stdin)
    signal.setitimer(signal.ITIMER_REAL, _POLL_SECONDS, _POLL_SECONDS)


def _send_reply(**reply: str) -> None:
    os.write(2, json.dumps(reply).encode() + b"\n")


if __name__ == "__main__":
    # Skip Python's shutdown: it would close an output with a lost peer, without a timeout.
    os._exit(main())
