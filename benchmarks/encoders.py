"""Encoders that work at once, each on a segment of the video: size, quality and cost; ``make bench-encoders``.

Each case encodes the same frames in a process of its own. The frames of a sample are read again and again, so a video
has cuts; the photograph is panned without one. All PSNR are of luma, against the frames that were given.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from itertools import count, islice
from pathlib import Path
from typing import Any

from common import REPOSITORY, ProcessMeasurement, log_progress, machine_summary, measure, table, write_section

SAMPLES = REPOSITORY / "samples"
CLIPS = ("samoyed_1080p_nogps.mp4", "cockatoo.mp4", "coffee.png")
CUTS = {"samoyed_1080p_nogps.mp4": "a cut every 41 frames", "cockatoo.mp4": "every 280", "coffee.png": "panned, no cut"}
FRAMES = 650
ENCODERS = (1, 2, 4)
SLICES = 16
"""Threads, and with them slices of a frame, of one x264 on a machine of as many cores."""
WINDOW = (1280, 720)
PAN_PIXELS = 2
ROUNDS = 1


def read_frames(clip: str) -> Iterator[Any]:
    """Yield `FRAMES` frames, each a new object."""
    import av
    import numpy as np
    from av.video.frame import VideoFrame
    from PIL import Image

    if clip.endswith(".png"):
        width, height = WINDOW
        with Image.open(SAMPLES / clip) as image:
            photograph = np.asarray(image.convert("RGB").resize((2 * width, 2 * height)))
        for number in range(FRAMES):
            place = abs((number * PAN_PIXELS + height) % (2 * height) - height)
            window = np.ascontiguousarray(photograph[place : place + height, place : place + width])
            yield VideoFrame.from_ndarray(window).reformat(format="yuv420p")
        return

    def rounds() -> Iterator[Any]:
        for _ in count():
            with av.open(str(SAMPLES / clip)) as container:
                yield from container.decode(video=0)

    yield from islice(rounds(), FRAMES)


def encode(clip: str, encoders: int, slices: int, out: Path) -> dict[str, Any]:
    """Encode in this process; return bytes, seconds of CPU and elapsed time, memory and PSNR."""
    import time

    import av
    import numpy as np

    from streamcam.frames import SourceInfo
    from streamcam.options import SinkOptions
    from streamcam.sinks.video import VideoSink

    def luma(frame: Any) -> Any:
        plane = frame.planes[0]
        return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]

    def cpu_seconds() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    start = cpu_seconds()
    for frame in read_frames(clip):
        size = frame.width, frame.height
    reading = cpu_seconds() - start
    info = SourceInfo(clip, *size, "yuv420p", Fraction(1, 25), average_fps=Fraction(25))
    start, started = cpu_seconds(), time.perf_counter()
    with VideoSink(SinkOptions(path=out, encoders=encoders), info) as sink:
        if slices:
            sink._encoder_options["threads"] = str(slices)
        for number, frame in enumerate(read_frames(clip)):
            sink.write(frame, number)
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - start - reading
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with av.open(str(out)) as container:
        errors = [
            float(np.mean((luma(given).astype(np.float32) - luma(found)) ** 2))
            for given, found in zip(read_frames(clip), container.decode(video=0), strict=True)
        ]
    return {
        "bytes": out.stat().st_size,
        "cpu_ms": cpu / FRAMES * 1e3,
        "fps": FRAMES / seconds,
        "memory_mib": memory,
        "psnr": 10 * float(np.log10(255**2 / np.mean(errors))),
        "size": size,
    }


def run_case(clip: str, encoders: int, slices: int) -> list[ProcessMeasurement]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--clip", clip, "--encoders", str(encoders), "--slices", str(slices)]
        return [measure([*command, "--out", Path(folder) / f"{n}.mp4"]) for n in range(ROUNDS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", help="encode this one here, and print the numbers")
    parser.add_argument("--encoders", type=int, default=1)
    parser.add_argument("--slices", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.clip:
        print(json.dumps(encode(options.clip, options.encoders, options.slices, options.out)))
        return
    rows = []
    for clip in CLIPS:
        first: dict[str, float] = {}
        for encoders, slices in [(number, 0) for number in ENCODERS] + [(1, SLICES)]:
            reports = [one.report for one in run_case(clip, encoders, slices)]
            found = {
                key: statistics.median(one[key] for one in reports)
                for key in ("bytes", "cpu_ms", "fps", "memory_mib", "psnr")
            }
            first = first or found
            name = f"{encoders}" if not slices else f"1, {slices} slices"
            rows.append(
                (
                    f"{clip} {reports[0]['size'][1]}p, {CUTS[clip]}",
                    name,
                    f"{found['bytes'] / first['bytes']:.3f}",
                    f"{found['psnr']:.2f}",
                    f"{found['psnr'] - first['psnr']:+.2f}",
                    f"{found['cpu_ms']:.1f}",
                    f"{found['cpu_ms'] / first['cpu_ms']:.2f}",
                    f"{found['memory_mib']:.0f}",
                )
            )
            log_progress(" | ".join(rows[-1]))
    head = ("clip", "encoders", "bytes / one encoder", "PSNR, dB", "difference", "CPU ms a frame", "CPU / one", "MiB")
    load = os.getloadavg()[1]
    text = f"""## Encoders at once

H.264 by default: {FRAMES} frames, {ROUNDS} round; the process holds decoder and sink only.
{machine_summary()}; load {load:.1f} over five minutes.

{table(head, rows)}

- One x264 divides each frame into slices, one for each core, and encodes one frame at a time. The row
  "1, {SLICES} slices" shows the file that a machine with {SLICES} cores writes with one encoder.
- An encoder of a segment has two threads that take a frame each, without slices.
- On the panned photograph, the macroblock tree of a short segment spends fewer bits: compare at equal PSNR, with
  another `crf`.
"""
    write_section("encoders", text)


if __name__ == "__main__":
    main()
