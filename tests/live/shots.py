"""Frames, optics and screens by hand."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

import numpy as np
from av.video.frame import VideoFrame

from streamcam.frames import Evidence, Explained, Frame, SourceInfo
from streamcam.geometry import fit
from streamcam.live.lens import Kernels, Optic
from streamcam.live.shot import Shot

SIZE = 64, 48


def info(width: int = SIZE[0], height: int = SIZE[1]) -> SourceInfo:
    return SourceInfo("camera", width, height, "yuv420p", Fraction(1, 90_000), live=True)


class Explainer:
    """Stands for a loaded model: only its identity is looked at."""


def kernels(*batches: int, explainer: Any = None) -> Kernels:
    made = Kernels(explainer or Explainer(), (32, 32))
    for batch in batches:
        made.add(batch, ())
    return made


def optic(of: Kernels | None = None) -> Optic:
    return Optic(of or kernels(1), fit("stretch", SIZE, (32, 32)), info().colour, "gradcam · top", "heat", 1)


def frame(index: int, *, ago: float = 0.0, source: SourceInfo | None = None, luma: int = 100) -> Frame:
    source = source or info()
    picture = VideoFrame(source.width, source.height, "yuv420p")
    for plane, value in zip(picture.planes, (luma, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return Frame(index, index * 3600, picture, arrived=time.monotonic() - ago)


def explained(of: Frame, peak: float = 1.0) -> Explained:
    heatmap = np.zeros((2, 2), np.float32)
    heatmap[0, 0] = peak
    return Explained(of, (Evidence(heatmap, "tabby", 2.0, 0.5, 281),), ((281, 0.5),))


class Settled:
    """Hears what became of frames."""

    def __init__(self) -> None:
        self.shots: list[Shot] = []

    def settled(self, shot: Shot) -> None:
        self.shots.append(shot)

    @property
    def passed(self) -> list[tuple[str, int]]:
        return [(shot.camera, shot.frame.index) for shot in self.shots if shot.explained is None]


def shot(camera: str, index: int, awaiting: Any, *, ago: float = 0.0, how: Optic | None = None) -> Shot:
    return Shot(camera, info(), frame(index, ago=ago), how, awaiting)
