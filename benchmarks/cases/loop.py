"""The loop people write around an explanation library: OpenCV reads, resizes, draws and writes.

Frames are written as MPEG-4 Part 2 (``mp4v``): OpenCV's wheels have no x264. That is cheaper than the H.264 which
streamcam writes, so it favours the peers, as does the class to explain, which they get and need not compute.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import cv2
import lite0
import numpy as np
from numpy.typing import NDArray

SAMOYED = 258
"""The class of every frame of the clip."""

WARM, CALLS = 3, 12
"""Calls of a library by itself before and while it is timed."""

CHECKED = (0, 9, 18, 27)
"""Frames on which the cases must agree."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A library around a model.

    Attributes:
        batch: images per call.
        explain: normalised float32 ``(N, 224, 224, 3)`` → maps of the Samoyed class, ``(N, h, w)`` of any scale.
        classify: the same → logits ``(N, 1000)``.
        packages: distributions whose versions matter.
    """

    batch: int
    explain: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    classify: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    packages: tuple[str, ...]


def arguments(**more: bool) -> argparse.Namespace:
    """``--clip``, ``--weights``, ``--out``, ``--encoder``, ``--check``, ``--alone`` and the flags named."""
    parser = argparse.ArgumentParser()
    for name in ("clip", "weights", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--encoder", type=json.loads, default={}, help="options for libx264, as JSON")
    parser.add_argument("--check", action="store_true", help="write maps of a few frames instead of a video")
    parser.add_argument("--alone", action="store_true", help="time the library by itself, batch after batch")
    for name, default in more.items():
        parser.add_argument(f"--{name}", action="store_true", default=default)
    return parser.parse_args()


def run(peer: Peer, options: argparse.Namespace) -> None:
    """Run the case and print its JSON line."""
    if options.alone:
        images = lite0.normalize(check_images(options.clip))
        images = np.concatenate([images] * (peer.batch // len(images)))
        print(json.dumps(time_per_image(lambda: peer.explain(images), peer.batch)))
        return
    if options.check:
        images = lite0.normalize(check_images(options.clip))
        write_maps(options.out, peer.explain(images), peer.classify(images).argmax(1))
        frames = len(images)
    else:
        frames = annotate(peer, options.clip, options.out)
    packages = {name: version(name) for name in (*peer.packages, "opencv-python-headless", "numpy")}
    print(json.dumps({"frames": frames, "packages": packages}))


def time_per_image(work: Callable[[], object], num_images: int) -> dict[str, float]:
    """Milliseconds per image, wall and CPU, of the calls after the first few."""
    for _ in range(WARM):
        work()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(CALLS):
        work()
    scale = 1000 / (CALLS * num_images)
    return {"wall": (time.perf_counter() - wall) * scale, "cpu": (time.process_time() - cpu) * scale}


def annotate(peer: Peer, clip: Path, out: Path) -> int:
    """Explains and draws every frame; returns how many there were."""
    capture = cv2.VideoCapture(str(clip))
    size = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    writer = cv2.VideoWriter(str(out), cv2.VideoWriter.fourcc(*"mp4v"), capture.get(cv2.CAP_PROP_FPS), size)
    assert writer.isOpened()
    frames = _frames(capture)
    count = 0
    while batch := list(islice(frames, peer.batch)):
        maps = peer.explain(lite0.normalize(np.stack([_model_input(frame) for frame in batch])))
        for frame, heatmap in zip(batch, maps, strict=True):
            writer.write(_overlay(frame, heatmap))
        count += len(batch)
    writer.release()
    capture.release()
    return count


def check_images(clip: Path) -> NDArray[np.uint8]:
    """Return the images on which the cases must agree, ``uint8 (N, 224, 224, 3)`` RGB."""
    frames = islice(_frames(cv2.VideoCapture(str(clip))), max(CHECKED) + 1)
    return np.stack([_model_input(frame) for number, frame in enumerate(frames) if number in CHECKED])


def write_maps(path: Path, maps: NDArray[np.float32], classes: NDArray[np.int64]) -> None:
    """Write the maps and classes that `agreement` compares."""
    np.savez(path, maps=np.maximum(maps, 0), classes=classes)


def _frames(capture: cv2.VideoCapture) -> Iterator[NDArray[np.uint8]]:
    while True:
        there, frame = capture.read()
        if not there:
            return
        yield frame


def _model_input(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.cvtColor(cv2.resize(frame, (lite0.INPUT, lite0.INPUT)), cv2.COLOR_BGR2RGB)


def _overlay(frame: NDArray[np.uint8], heatmap: NDArray[np.float32]) -> NDArray[np.uint8]:
    heatmap = np.maximum(heatmap, 0) / max(float(heatmap.max()), 1e-9)
    large = cv2.resize((255 * heatmap).astype(np.uint8), (frame.shape[1], frame.shape[0]))
    return cv2.addWeighted(frame, 0.6, cv2.applyColorMap(large, cv2.COLORMAP_JET), 0.4, 0)
