"""Processes of ``streamcam bench``, and numbers made up for those that need none."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from streamcam.bench.runner import Measurement

ROOT = Path(__file__).parents[2]
ENVIRONMENT: dict[str, Any] = {
    "clip": "clip.mp4",
    "size": [160, 96],
    "model": "brightness",
    "input": [112, 112],
    "layer": "evidence",
    "method": "gradcam",
    "device": "gpu:0",
    "precision": "float32",
    "startup": 4.0,
    "seconds": {"decode": 0.001, "model": 0.01},
    "devices": {"cpu": "", "gpu:0": "Some GPU", "gpu:1": "Some GPU"},
    "precisions": {"cpu": ["float32"], "gpu:0": ["float32", "float16"], "gpu:1": ["float32", "float16"]},
    "software": {"tensorflow": "2"},
}
"""What the first look could report of a machine with two GPUs."""

STAGE_SECONDS = {
    "decode": 0.002,
    "draw": 0.001,
    "encode": 0.004,
    "encode_source": 0.003,
    "transcode": 0.005,
    "model": 0.010,
    "end_to_end": 0.012,
}


def start_bench(*arguments: object, **more: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "streamcam", "bench", *(str(a) for a in arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def noisy_model() -> Any:
    """A model that prints whatever and whenever it likes, by Python and past it."""
    from tests.pipeline.models import brightness

    print('{"error": "not mine", "usage": false}')
    os.write(1, b"loading ...\n")
    atexit.register(print, "bye")
    return brightness()


def row(
    stage: str, device: str = "", batch: int = 0, precision: str = "", *, seconds: float = 0, **more: Any
) -> Measurement:
    """A case that took so long a frame, and twice as much CPU time."""
    seconds = seconds or STAGE_SECONDS[stage]
    return Measurement(
        stage=stage,
        device=device,
        batch=batch,
        precision=precision,
        wall=(seconds * 0.9, seconds, seconds * 2),
        cpu=(seconds * 2,) * 3,
        **more,
    )
