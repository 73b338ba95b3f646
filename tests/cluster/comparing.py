"""Compare outputs and records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np

from streamcam.job import Job
from tests.media_helpers import gradient_frame, write_clip

MODEL: dict[str, Any] = {"model": "tests.pipeline.models:brightness_of_fixed_size", "preprocess": "none"}
OPTIONS: dict[str, Any] = {**MODEL, "precision": "float32", "record": "auto"}
CHUNK_FRAMES = 12


def make_clip(path: Path, count: int = 60) -> Path:
    """Frames that grow brighter, so that the running scale differs everywhere; with sound."""
    frames = []
    for number in range(count):
        frame = gradient_frame(160, 96, number)
        luma = np.frombuffer(frame.planes[0], np.uint8)
        luma[:] = np.clip(luma.astype(int) + 2 * (number % 40), 0, 255)
        frames.append(frame)
    return write_clip(path, frames, audio=True)


def make_job(clip: Path, output: Path, **options: Any) -> Job:
    return Job.from_options(clip, output, **{**OPTIONS, **options})


def record_files(output: Path) -> dict[str, bytes]:
    """Contents of a record's chunks; nothing else may lie in its folder."""
    folder = output.with_name(f"{output.name}.streamcam")
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.name != "manifest.json"}


def contents(path: Path) -> tuple[list[tuple[int | None, bytes]], list[tuple[int | None, bytes]]]:
    """Times and bytes of the frames, and of the audio packets."""
    with av.open(str(path)) as container:
        frames = [(frame.pts, frame.to_ndarray().tobytes()) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        audio = (
            [(packet.pts, bytes(packet)) for packet in container.demux(container.streams.audio) if packet.size]
            if container.streams.audio
            else []
        )
    return frames, audio
