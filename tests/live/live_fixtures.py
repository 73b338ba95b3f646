"""Frames, model bindings and pending frames by hand."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

import numpy as np
from av.video.frame import VideoFrame

from streamcam.frames import Attribution, CaptionFacts, ExplainedFrame, Frame, SourceInfo
from streamcam.geometry import fit_to_input
from streamcam.live.model_binding import BatchSizes, ModelBinding
from streamcam.live.pending_frame import PendingFrame

SIZE = 64, 48


def info(width: int = SIZE[0], height: int = SIZE[1]) -> SourceInfo:
    return SourceInfo("camera", width, height, "yuv420p", Fraction(1, 90_000), live=True)


class Explainer:
    """Stands for a loaded model: only its identity matters."""


def batch_sizes(*batches: int, explainer: Any = None) -> BatchSizes:
    made = BatchSizes(explainer or Explainer(), (32, 32))
    for batch in batches:
        made.add(batch, ())
    return made


def model_binding(of: BatchSizes | None = None) -> ModelBinding:
    facts = CaptionFacts("gradcam", "top")
    return ModelBinding(of or batch_sizes(1), fit_to_input("stretch", SIZE, (32, 32)), info().color, facts, "heat", 1)


def frame(index: int, *, ago: float = 0.0, source: SourceInfo | None = None, luma: int = 100) -> Frame:
    source = source or info()
    video_frame = VideoFrame(source.width, source.height, "yuv420p")
    for plane, value in zip(video_frame.planes, (luma, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return Frame(index, index * 3600, video_frame, arrival_time=time.monotonic() - ago)


def explain_frame(of: Frame, peak: float = 1.0) -> ExplainedFrame:
    heatmap = np.zeros((2, 2), np.float32)
    heatmap[0, 0] = peak
    return ExplainedFrame(of, (Attribution(heatmap, "tabby", 2.0, 0.5, 281),), ((281, 0.5),))


class RecordingListener:
    """Records resolved frames."""

    def __init__(self) -> None:
        self.pending_frames: list[PendingFrame] = []

    def on_resolved(self, pending: PendingFrame) -> None:
        self.pending_frames.append(pending)

    @property
    def dropped_frames(self) -> list[tuple[str, int]]:
        return [(pending.camera, pending.frame.index) for pending in self.pending_frames if pending.explained is None]


def pending_frame(
    camera: str, index: int, listener: Any, *, ago: float = 0.0, binding: ModelBinding | None = None
) -> PendingFrame:
    return PendingFrame(camera, info(), frame(index, ago=ago), binding, listener)
