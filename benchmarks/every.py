"""How far maps are from those of every frame where fewer are explained: ``make bench-every``.

Each setting takes the whole road; the maps are those that are drawn. Cosines are to the maps of ``--every 1``, over all
frames. A model is loaded for each number of frames between, for the batch depends on it.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import REPOSITORY, machine, say, table, write_section
from numpy.typing import NDArray

from streamcam.config import DEFAULT_CHANGE, ExplainOptions, ModelOptions, make_job
from streamcam.engine import load_explainer
from streamcam.frames import Explained
from streamcam.pipeline import Summary, Watcher, run

CLIPS = ("cockatoo.mp4", "samoyed_640_nogps.mp4", "samoyed_1080p_nogps.mp4")
BETWEEN = ("hold", "linear", "flow")
EVERY: tuple[Any, ...] = (2, 4, 8, "auto")
CHANGES = (0.06, 0.10, 0.14, 0.18, 0.22)
"""Bounds of the second table."""


def explained(clip: str, explainer: Any, **options: Any) -> tuple[Summary, NDArray[np.float64], float]:
    """The summary of one run, its maps ``(frames, cells)``, and its CPU time in seconds without loading the model."""
    say(f"{clip} {options}")
    maps: list[NDArray[np.float32]] = []
    began = 0.0

    def ready() -> None:
        nonlocal began
        began = time.process_time()

    def frame(item: Explained) -> None:
        maps.append(item.evidence[0].heatmap.ravel())

    with tempfile.TemporaryDirectory() as folder:
        job = make_job(str(REPOSITORY / "samples" / clip), str(Path(folder, "out.mp4")), **options)
        summary = run(job, explainer=explainer, watcher=Watcher(ready=ready, frame=frame))
    assert summary.frames_explained + summary.frames_held == summary.frames_out == len(maps)
    return summary, np.stack(maps).astype(np.float64), time.process_time() - began


def cosines(maps: NDArray[np.float64], dense: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each frame; 1 where both maps are zero, and 0 where one is."""
    norms = np.linalg.norm(maps, axis=1), np.linalg.norm(dense, axis=1)
    product = norms[0] * norms[1]
    cosine: NDArray[np.float64] = (maps * dense).sum(axis=1) / np.where(product == 0, 1, product)
    return np.where((norms[0] == 0) & (norms[1] == 0), 1.0, cosine)


def main() -> None:
    """Runs everything and writes the section."""
    rows: dict[str, list[list[str]]] = {clip: [] for clip in CLIPS}
    bounds: dict[str, list[list[str]]] = {clip: [] for clip in CLIPS}
    explainer = load_explainer(ModelOptions(), ExplainOptions())
    explained(CLIPS[-1], explainer)  # the first run warms the caches
    dense = {clip: explained(clip, explainer) for clip in CLIPS}

    def measured(clip: str, name: str, explainer: Any, **options: Any) -> list[str]:
        summary, maps, cpu = explained(clip, explainer, **options)
        cosine = cosines(maps, dense[clip][1])
        return [
            f"{clip}, {name}",
            f"{summary.frames_explained} of {summary.frames_out}",
            f"{summary.frames_out / summary.frames_explained:.1f}",
            f"{cosine.mean():.4f}",
            f"{cosine.min():.3f}",
            f"{cpu / dense[clip][2]:.2f}",
        ]

    for every in EVERY:
        explainer = load_explainer(ModelOptions(), ExplainOptions())
        for clip in CLIPS:
            for between in BETWEEN:
                rows[clip].append(measured(clip, f"{every}, {between}", explainer, every=every, between=between))
            if every == "auto":
                bounds[clip] = [measured(clip, f"{c:.2f}", explainer, every=every, change=c) for c in CHANGES]
    head = ["explained", "times fewer", "mean cosine", "smallest", "CPU time"]
    write_section(
        "every",
        f"""## Fewer frames explained

`streamcam process --every … --between …`, embedded model, Grad-CAM of the most probable class: cosine of each frame's
map to the one of `--every 1`, and the CPU time of the whole road (decoding, drawing and encoding too) as a part of that
of `--every 1`, from a single run each. Made by `make bench-every`.

Machine: {machine()}.

{table(["clip, every, between", *head], [row for clip in CLIPS for row in rows[clip]])}

`--every auto --between hold` by its bound (`--change`; {DEFAULT_CHANGE:g} is the default):

{table(["clip, change", *head], [row for clip in CLIPS for row in bounds[clip]])}

In `cockatoo.mp4` the most probable class changes at about every third frame, and what is explained with it: the
smallest cosines are of frames whose class is another than that of the map they hold, which no way between can help.""",
    )


if __name__ == "__main__":
    main()
