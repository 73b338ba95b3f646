"""A bright object at a known place must be where the drawn map has its peak: through each fit and each rotation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import streamcam
from streamcam.geometry import FITS
from streamcam.job import Job
from streamcam.pipeline import run
from tests.marks import pairs

from . import clips
from .models import INPUT_SIZE, STRIDE

WIDTH, HEIGHT = 400, 240
PLACES = [(0.5, 0.5), (0.31, 0.22), (0.68, 0.81), (0.4, 0.62)]


def scene(x: float, y: float, width: int, height: int, radius: float) -> np.ndarray:
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    inside = (columns - x * width) ** 2 + (rows - y * height) ** 2 < radius**2
    return np.where(inside[..., None], 255, 0).astype(np.uint8).repeat(3, axis=2)


def half_stride(fit: str, width: int, height: int) -> tuple[float, float]:
    """Half a grid cell in source pixels, written out for each fit."""
    if fit == "stretch":
        return width / INPUT_SIZE[0] * STRIDE / 2, height / INPUT_SIZE[1] * STRIDE / 2
    if fit == "crop":
        return (min(width, height) / INPUT_SIZE[0] * STRIDE / 2,) * 2
    if fit == "letterbox":
        return (max(width, height) / INPUT_SIZE[0] * STRIDE / 2,) * 2
    ideal = (INPUT_SIZE[0] * INPUT_SIZE[1] / (width / height)) ** 0.5
    return (
        width / (round(ideal * width / height / 32) * 32) * STRIDE / 2,
        height / (round(ideal / 32) * 32) * STRIDE / 2,
    )


@pytest.mark.parametrize(
    ("fit", "rotation"),
    pairs(
        FITS,
        [0, 90, 180, 270],
        fast=lambda _, rotation: rotation == 90,
        kept=lambda fit, rotation: rotation == 0 or fit == "crop",
    ),
)
def test_the_peak_lies_on_the_object(tmp_path: Path, fit: str, rotation: int) -> None:
    width, height = (WIDTH, HEIGHT) if rotation % 180 == 0 else (HEIGHT, WIDTH)
    half = half_stride(fit, width, height)
    images = [scene(x, y, width, height, min(half)) for x, y in PLACES]
    clip = clips.write_clip(tmp_path / "in.mp4", images, rotation=rotation)
    out = tmp_path / "out.mkv"
    build = "brightness" if fit == "native" else "brightness_of_fixed_size"
    summary = streamcam.process(
        clip,
        out,
        model=f"tests.pipeline.models:{build}",
        preprocess="none",
        target="1",
        fit=fit,
        layout="heatmap",
        colormap="viridis",  # its luma rises with the evidence
        caption=False,
        scale="frame",
    )
    assert summary.frames_out == len(PLACES)
    assert summary.layer == "evidence"
    heat = clips.read_luma(out)
    assert heat[0].shape == (height, width)
    for image, (x, y) in zip(heat, PLACES, strict=True):
        weight = np.maximum(image - (image.min() + 0.9 * np.ptp(image)), 0)
        rows, columns = np.indices(image.shape) + 0.5
        peak = (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()
        if fit == "crop" and abs((x, y)[width < height] - 0.5) * max(width, height) > min(width, height) / 2:
            continue  # cut away, and so not seen
        assert abs(peak[0] - x * width) <= half[0]
        assert abs(peak[1] - y * height) <= half[1]


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["overlay", "side-by-side"])
def test_a_frame_without_attribution_is_untouched(tmp_path: Path, layout: str) -> None:
    """Lossless in and out: outside the object's surroundings every sample is that of the source."""
    images = [np.maximum(scene(0.25, 0.5, WIDTH, HEIGHT, 30), 20)] * 2
    clip = clips.write_clip(tmp_path / "in.mp4", images)
    out = tmp_path / "out.mkv"
    streamcam.process(
        clip, out, model="tests.pipeline.models:brightness", preprocess="none", target="1", layout=layout, codec="ffv1",
        caption=False,
    )  # fmt: skip
    before, after = clips.read_luma(clip)[1], clips.read_luma(out)[1]
    left = WIDTH if layout == "side-by-side" else 0
    assert after.shape == (HEIGHT, WIDTH + left)
    np.testing.assert_array_equal(after[:, left + WIDTH // 2 :], before[:, WIDTH // 2 :])
    assert np.abs(after[:, left : left + WIDTH // 2] - before[:, : WIDTH // 2]).max() > 10
    if left:
        np.testing.assert_array_equal(after[:, :WIDTH], before)


def test_a_stream_without_evidence_stays_as_it_is(tmp_path: Path) -> None:
    clip = clips.write_clip(tmp_path / "in.mp4", [np.full((96, 128, 3), 20, np.uint8)] * 3)
    job = Job.from_options(
        str(clip), str(tmp_path / "out.mkv"), model="tests.pipeline.models:brightness", preprocess="none", target="1",
        codec="ffv1", caption=False,
    )  # fmt: skip
    run(job)
    for before, after in zip(clips.read_luma(clip), clips.read_luma(tmp_path / "out.mkv"), strict=True):
        np.testing.assert_array_equal(before, after)
