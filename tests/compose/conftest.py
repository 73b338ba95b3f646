from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame

from streamcam.compose import FrameRenderer
from streamcam.compose import native as compiled
from streamcam.frames import Attribution, CaptionFacts, ColorSpec, ExplainedFrame, Frame, SourceInfo
from streamcam.geometry import fit_to_input
from streamcam.options import DrawOptions

FACTS = CaptionFacts("gradcam", "top_activation", ("top",), [f"class {n}" for n in range(5)])
BT709 = ColorSpec(range=1, primaries=1, transfer=1, matrix=1)


@dataclass
class DrawStage:
    """One stream of one image, and renderers for it. Planes are read and written with the standard library only."""

    size: tuple[int, int] = (320, 180)
    pixel_format: str = "yuv420p"
    color: ColorSpec = BT709
    fit: str = "stretch"

    @property
    def info(self) -> SourceInfo:
        return SourceInfo("clip", *self.size, self.pixel_format, Fraction(1, 90000), self.color)

    @property
    def geometry(self):
        return fit_to_input(self.fit, self.size, (224, 224))

    def make_frame(self, fill: Callable[[int, tuple[int, int]], Any]) -> VideoFrame:
        """An image whose plane ``k`` is ``fill(k, (height, width))``."""
        frame = VideoFrame(*self.size, self.pixel_format)
        wide = self.pixel_format.endswith("10le")
        for number, plane in enumerate(frame.planes):
            content = np.broadcast_to(fill(number, (plane.height, plane.width)), (plane.height, plane.width))
            row = content.astype("<u2" if wide else np.uint8)
            data = bytearray(b"\xa5" * (plane.line_size * plane.height))  # padding that is not to be seen
            for y in range(plane.height):
                data[y * plane.line_size : y * plane.line_size + row[y].nbytes] = row[y].tobytes()
            plane.update(bytes(data) + bytes(plane.buffer_size - len(data)))
        return frame

    def noise_frame(self, seed: int = 1) -> VideoFrame:
        top = 1024 if self.pixel_format.endswith("10le") else 256
        rng = np.random.default_rng(seed)
        return self.make_frame(lambda _, shape: rng.integers(0, top, shape))

    def renderer(self, **options: Any) -> FrameRenderer:
        options = {"caption": False} | options
        renderer_options = {key: options.pop(key) for key in ("panels", "map_kind") if key in options}
        return FrameRenderer(DrawOptions(**options), self.info, self.geometry, facts=FACTS, **renderer_options)

    def item(self, video_frame: VideoFrame, heatmap: Any, vmax: float = 1.0, **more: Any) -> ExplainedFrame:
        frame = Frame(7, 12345, video_frame)
        values = {"class_index": 3, "label": "Samoyed", "probability": 0.97, "score": 9.0} | more
        attribution = Attribution(np.asarray(heatmap, np.float32), vmax=vmax, **values)
        return ExplainedFrame(frame, (attribution,))

    def draw(self, video_frame: VideoFrame, heatmap: Any, vmax: float = 1.0, **options: Any) -> VideoFrame:
        return self.renderer(**options).draw(self.item(video_frame, heatmap, vmax))


def copy_planes(frame: VideoFrame) -> list[np.ndarray]:
    """Copies of the three planes, as int64, without padding."""
    found = []
    for plane in frame.planes:
        word = np.dtype("<u2" if frame.format.name.endswith("10le") else np.uint8)
        lines = np.frombuffer(bytes(plane), word).reshape(plane.height, -1)
        found.append(lines[:, : plane.width].astype(np.int64))
    return found


@pytest.fixture(params=["compiled", "in passes"])
def stage_type(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[DrawStage]:
    if request.param == "in passes":
        monkeypatch.setattr(compiled, "native_blend", lambda blend_table, lowest: None)
    elif compiled.report_environment()["drawing"] != "compiled":
        pytest.skip("nothing was compiled: tests/compose/test_overlay.py checks whether it should have been")
    return DrawStage


@pytest.fixture
def planes() -> Callable[[VideoFrame], list[np.ndarray]]:
    return copy_planes
