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
from ...frames import AudioPacket
from .destinations import Destination, resolve_destination
from .encoder import PeerLostError, StreamEncoder
from .playlist import BusyError
from .protocol import EXIT_BUSY, EXIT_FAILED, EXIT_LOST, SHORTAGES, Item, WorkerConfig, read_items
from .writers import FileWriter, Y4mWriter, write_segments

_POLL_SECONDS = 0.5


class _Writer(Protocol):
    def write(self, frame: VideoFrame, pts: int) -> None: ...

    def write_audio(self, item: AudioPacket) -> None: ...

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
            return _exit_code(error)
    return 0


def _exit_code(error: StreamcamError) -> int:
    if isinstance(error, PeerLostError):
        return EXIT_LOST
    return (
        EXIT_BUSY if isinstance(error, BusyError) or getattr(error.__cause__, "errno", 0) in SHORTAGES else EXIT_FAILED
    )


def _write(config: WorkerConfig, destination: Destination, file: BufferedReader) -> None:
    is_reported = False

    def report_running() -> None:
        nonlocal is_reported
        if not is_reported:
            is_reported = True
            _send_reply(state="running")

    items = _drop_unordered(read_items(file))
    if destination.name == "segments":
        write_segments(config, items, report_running, _warn)
        return
    if destination.stdout:
        _exit_if_orphaned(destination.shutdown_timeout_seconds)
    writer: _Writer = (
        FileWriter(config, _warn)
        if destination.name == "file"
        else Y4mWriter(config)
        if destination.name == "YUV4MPEG2"
        else StreamEncoder(config, destination, _warn)
    )
    for item in items:
        if isinstance(item, AudioPacket):
            writer.write_audio(item)
        else:
            writer.write(*item)
            report_running()
    writer.close()


def _drop_unordered(items: Iterator[Item]) -> Iterator[Item]:
    """Drop frames whose time is not after the one before."""
    last_pts: int | None = None
    for item in items:
        if isinstance(item, AudioPacket):
            yield item
        elif last_pts is None or item[1] > last_pts:
            yield item
            last_pts = item[1]


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


def _warn(line: str) -> None:
    _send_reply(warning=line)


def _send_reply(**reply: str) -> None:
    os.write(2, json.dumps(reply).encode() + b"\n")


if __name__ == "__main__":
    # Skip Python's shutdown: it would close an output with a lost peer, without a timeout.
    os._exit(main())
