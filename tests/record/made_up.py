"""Explained frames and records of known content."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from streamcam.frames import Attribution, ExplainedFrame, Frame
from streamcam.geometry import Geometry
from streamcam.record import Manifest, RecordFolder, RecordWriter, SourceIdentity

TIME_BASE = Fraction(1, 90_000)
TARGETS = ("top", "dog")


def make_manifest(source: str = "clip.mp4", **changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "source": SourceIdentity.of(source),
        "frame": {"width": 400, "height": 200, "pixel_format": "yuv420p", "pixel_aspect": "1", "average_fps": "25"},
        "time_base": TIME_BASE,
        "model": {"name": "m", "sha256": None, "preprocess": "none", "preprocess_guess": "", "labels": ["cat", "dog"]},
        "method": "gradcam",
        "layer": "conv",
        "map_kind": "heat",
        "targets": TARGETS,
        "geometry": Geometry((400, 200), (224, 224), (224, 224)),
        "run": {"targets": [*TARGETS], "precision": "float32", "batch": 8, "device": "cpu"},
        "job": {"source": {}, "temporal": {}, "draw": {}, "sink": {"path": "clip.gradcam.mp4"}},
    }
    return Manifest(**values | changes)


def make_items(count: int, *, held: Iterable[int] = (), factor: float = 1.0) -> list[ExplainedFrame]:
    """Frames of random maps; held ones have the attributions before them."""
    rng = np.random.default_rng(0)
    items: list[ExplainedFrame] = []
    for n in range(count):
        frame: Any = Frame(n, 3600 * n + 7, None)  # type: ignore[arg-type]
        if n in held:
            items.append(ExplainedFrame(frame, items[-1].attributions, items[-1].top, held=True))
            continue
        attributions = tuple(
            Attribution(
                (rng.normal(size=(3, 5)) * factor).astype(np.float32),
                ("cat", "dog")[t],
                float(np.float32(rng.normal())),
                float(np.float32(rng.random())) if t == 0 else None,
                t if t == 0 else None,
            )
            for t in range(len(TARGETS))
        )
        top = ((1, float(np.float32(rng.random()))), (0, float(np.float32(rng.random()))))
        items.append(ExplainedFrame(frame, attributions, top, quality_metrics={"gap": (0.25, float(n))}))
    return items


def write_record(
    path: Path, items: list[ExplainedFrame], *, overwrite: bool = False, complete: bool = True, **changes: Any
) -> Path:
    folder = RecordFolder(path, overwrite=overwrite)
    folder.check()
    with RecordWriter(folder, make_manifest(**changes)) as writer:
        for item in items:
            writer.add(item)
        if complete:
            writer.complete()
    return path
