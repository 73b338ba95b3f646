"""How far maps are from those of every frame where fewer are explained: ``make bench-every``.

Each setting runs the whole pipeline; the maps are those that are drawn. Cosines are to the maps of ``--every 1``, over
all frames. A model is loaded for each value of ``--every``, because the batch depends on it.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import REPOSITORY, log_progress, machine_summary, table, write_section
from numpy.typing import NDArray

from streamcam.engine import load_explainer
from streamcam.frames import ExplainedFrame
from streamcam.job import Job
from streamcam.options import DEFAULT_CHANGE_THRESHOLD, ExplainOptions, ModelOptions
from streamcam.pipeline import RunCallbacks, run
from streamcam.summary import Summary

CLIPS = ("cockatoo.mp4", "samoyed_640_nogps.mp4", "samoyed_1080p_nogps.mp4")
INTERPOLATIONS = ("hold", "linear", "flow")
EVERY: tuple[Any, ...] = (2, 4, 8, "auto")
CHANGE_THRESHOLDS = (0.06, 0.10, 0.14, 0.18, 0.22)
"""Bounds of the second table."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One run: its summary, maps ``(frames, cells)``, classes ``(frames,)``, and CPU seconds without loading."""

    summary: Summary
    maps: NDArray[np.float64]
    classes: NDArray[np.int64]
    cpu_seconds: float


def process_clip(clip: str, explainer: Any, **options: Any) -> Run:
    """Run a clip through the pipeline."""
    log_progress(f"{clip} {options}")
    maps: list[NDArray[np.float32]] = []
    classes: list[int | None] = []
    began = 0.0

    def on_ready() -> None:
        nonlocal began
        began = time.process_time()

    def on_frame(item: ExplainedFrame) -> None:
        maps.append(item.attributions[0].heatmap.ravel())
        classes.append(item.attributions[0].class_index)

    with tempfile.TemporaryDirectory() as folder:
        job = Job.from_options(str(REPOSITORY / "samples" / clip), str(Path(folder, "out.mp4")), **options)
        summary = run(job, explainer=explainer, callbacks=RunCallbacks(on_ready=on_ready, on_frame=on_frame))
    assert summary.frames_explained + summary.frames_held == summary.frames_out == len(maps)
    return Run(summary, np.stack(maps).astype(np.float64), np.array(classes), time.process_time() - began)


def cosines(maps: NDArray[np.float64], dense: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each frame; 1 where both maps are zero, and 0 where one is."""
    norms = np.linalg.norm(maps, axis=1), np.linalg.norm(dense, axis=1)
    product = norms[0] * norms[1]
    cosine: NDArray[np.float64] = (maps * dense).sum(axis=1) / np.where(product == 0, 1, product)
    return np.where((norms[0] == 0) & (norms[1] == 0), 1.0, cosine)


def summarize_by_class(run_: Run, dense: Run) -> str:
    """How the error of a run is shared out between frames of the class that is explained and frames of another."""
    cosine = cosines(run_.maps, dense.maps)
    same = run_.classes == dense.classes
    return (
        f"the {same.sum()} frames that have the class of the map they hold keep a mean cosine of "
        f"{cosine[same].mean():.3f} (smallest {cosine[same].min():.2f}), the other {(~same).sum()} one of "
        f"{cosine[~same].mean():.3f}"
    )


def main() -> None:
    """Run everything and write the section."""
    rows: dict[str, list[list[str]]] = {clip: [] for clip in CLIPS}
    bounds: dict[str, list[list[str]]] = {clip: [] for clip in CLIPS}
    shares: list[str] = []
    explainer = load_explainer(ModelOptions(), ExplainOptions())
    process_clip(CLIPS[-1], explainer)  # the first run warms the caches
    dense = {clip: process_clip(clip, explainer) for clip in CLIPS}

    def measure_row(clip: str, name: str, explainer: Any, **options: Any) -> list[str]:
        done = process_clip(clip, explainer, **options)
        if (clip, name) == (CLIPS[0], "auto, hold"):
            shares.append(summarize_by_class(done, dense[clip]))
        summary, cosine = done.summary, cosines(done.maps, dense[clip].maps)
        return [
            f"{clip}, {name}",
            f"{summary.frames_explained} of {summary.frames_out}",
            f"{summary.frames_out / summary.frames_explained:.1f}",
            f"{cosine.mean():.4f}",
            f"{cosine.min():.3f}",
            f"{done.cpu_seconds / dense[clip].cpu_seconds:.2f}",
        ]

    for every in EVERY:
        explainer = load_explainer(ModelOptions(), ExplainOptions())
        for clip in CLIPS:
            for interpolation in INTERPOLATIONS:
                rows[clip].append(
                    measure_row(clip, f"{every}, {interpolation}", explainer, every=every, interpolation=interpolation)
                )
            if every == "auto":
                bounds[clip] = [
                    measure_row(clip, f"{c:.2f}", explainer, every=every, change_threshold=c) for c in CHANGE_THRESHOLDS
                ]
    head = ["explained", "times fewer", "mean cosine", "smallest", "CPU time"]
    write_section(
        "every",
        f"""## Fewer frames explained

`streamcam process --every … --interpolation …`, embedded model, Grad-CAM of the most probable class: cosine of
each frame's map to the one of `--every 1`, and the CPU time of the whole pipeline (decoding, drawing and encoding too)
relative to that of `--every 1`, from a single run each. Made by `make bench-every`.

Machine: {machine_summary()}.

{table(["clip, every, interpolation", *head], [row for clip in CLIPS for row in rows[clip]])}

`--every auto --interpolation hold` by its bound (`--change-threshold`; {DEFAULT_CHANGE_THRESHOLD:g} is the default):

{table(["clip, change threshold", *head], [row for clip in CLIPS for row in bounds[clip]])}

The default was chosen on these clips, of which two show the same scene: it is a starting point, not a promise.

In `{CLIPS[0]}` the most probable class changes at about every third frame, and what is explained with it. With
`--every auto` {shares[0]}.""",
    )


if __name__ == "__main__":
    main()
