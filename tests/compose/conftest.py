from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame

from streamcam.compose import Painter, compiled
from streamcam.config import DrawOptions
from streamcam.frames import Colour, Evidence, Explained, Frame, SourceInfo
from streamcam.geometry import fit

BT709 = Colour(range=1, primaries=1, transfer=1, matrix=1)


@dataclass
class Studio:
    """One stream of one picture, and painters for it. Planes are read and written with the standard library only."""

    size: tuple[int, int] = (320, 180)
    pixel_format: str = "yuv420p"
    colour: Colour = BT709
    fit: str = "stretch"

    @property
    def info(self) -> SourceInfo:
        return SourceInfo("clip", *self.size, self.pixel_format, Fraction(1, 90000), self.colour)

    @property
    def geometry(self):
        return fit(self.fit, self.size, (224, 224))

    def picture(self, fill: Callable[[int, tuple[int, int]], Any]) -> VideoFrame:
        """A picture whose plane ``k`` is ``fill(k, (height, width))``."""
        picture = VideoFrame(*self.size, self.pixel_format)
        wide = self.pixel_format.endswith("10le")
        for number, plane in enumerate(picture.planes):
            content = np.broadcast_to(fill(number, (plane.height, plane.width)), (plane.height, plane.width))
            row = content.astype("<u2" if wide else np.uint8)
            data = bytearray(b"\xa5" * (plane.line_size * plane.height))  # padding that is not to be seen
            for y in range(plane.height):
                data[y * plane.line_size : y * plane.line_size + row[y].nbytes] = row[y].tobytes()
            plane.update(bytes(data) + bytes(plane.buffer_size - len(data)))
        return picture

    def noise(self, seed: int = 1) -> VideoFrame:
        top = 1024 if self.pixel_format.endswith("10le") else 256
        rng = np.random.default_rng(seed)
        return self.picture(lambda _, shape: rng.integers(0, top, shape))

    def painter(self, **options: Any) -> Painter:
        options = {"caption": False} | options
        own = {key: options.pop(key) for key in ("panels", "display") if key in options}
        detail = "gradcam · top_activation"
        return Painter(DrawOptions(**options), self.info, self.geometry, detail=detail, **own)

    def item(self, picture: VideoFrame, heatmap: Any, full_scale: float = 1.0, **more: Any) -> Explained:
        frame = Frame(7, 12345, picture)
        values = {"target": 3, "label": "Samoyed", "probability": 0.97, "score": 9.0} | more
        evidence = Evidence(np.asarray(heatmap, np.float32), full_scale=full_scale, **values)
        return Explained(frame, (evidence,))

    def draw(self, picture: VideoFrame, heatmap: Any, full_scale: float = 1.0, **options: Any) -> VideoFrame:
        return self.painter(**options).draw(self.item(picture, heatmap, full_scale))


def samples(picture: VideoFrame) -> list[np.ndarray]:
    """Copies of the three planes, as int64, without padding."""
    found = []
    for plane in picture.planes:
        word = np.dtype("<u2" if picture.format.name.endswith("10le") else np.uint8)
        lines = np.frombuffer(bytes(plane), word).reshape(plane.height, -1)
        found.append(lines[:, : plane.width].astype(np.int64))
    return found


@pytest.fixture(params=["compiled", "in passes"])
def studio(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[Studio]:
    if request.param == "in passes":
        monkeypatch.setattr(compiled, "lay", lambda looks, lowest: None)
    elif compiled.examine()["drawing"] != "compiled":
        pytest.skip("nothing was compiled: tests/compose/test_glaze.py looks whether it should have been")
    return Studio


@pytest.fixture
def planes() -> Callable[[VideoFrame], list[np.ndarray]]:
    return samples
