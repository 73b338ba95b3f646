"""How far maps are from those of every frame where fewer are explained: ``make bench-every``.

Each setting takes the whole road in a process of its own; the maps are what is drawn. Cosines are to the maps of
``--every 1``, over all frames; where both are zero it is 1.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import REPOSITORY, Measured, machine, measure, say, table, write_section

CLIPS = ("cockatoo.mp4", "samoyed_640_nogps.mp4", "samoyed_1080p_nogps.mp4")
BETWEEN = ("hold", "linear", "flow")
EVERY = ("2", "4", "8", "auto")
CHANGES = ("0.06", "0.10", "0.14", "0.18", "0.22")
"""Bounds of the second table."""


def case(clip: str, maps: str, options: dict[str, Any]) -> None:
    """One run in this process; saves the maps and prints the summary."""
    import time

    import numpy as np

    from streamcam.config import make_job
    from streamcam.frames import Explained
    from streamcam.pipeline import Watcher, run

    heatmaps: list[Any] = []
    began: list[float] = []

    def frame(item: Explained) -> None:
        heatmaps.append(item.evidence[0].heatmap)

    with tempfile.TemporaryDirectory() as folder:
        job = make_job(str(REPOSITORY / "samples" / clip), f"{folder}/out.mp4", **options)
        summary = run(job, watcher=Watcher(ready=lambda: began.append(time.process_time()), frame=frame))
    np.save(maps, np.stack(heatmaps))
    print(json.dumps({**summary.as_dict(), "cpu": time.process_time() - began[0]}))


def explained(clip: str, maps: Path, **options: Any) -> Measured:
    say(f"{clip} {options or 'every frame'}")
    return measure([sys.executable, __file__, "case", clip, str(maps), json.dumps(options)])


def cosines(maps: Path, dense: Path) -> Any:
    import numpy as np

    a, b = (np.load(path).astype(np.float64) for path in (maps, dense))
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    norms = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    product = norms[0] * norms[1]
    nothing = (norms[0] == 0) & (norms[1] == 0)
    return np.where(nothing, 1.0, (a * b).sum(axis=1) / np.where(product == 0, 1, product))


def main() -> None:
    """Runs everything and writes the section."""
    rows, bounds = [], []
    with tempfile.TemporaryDirectory() as folder:
        dense, maps = Path(folder, "dense.npy"), Path(folder, "maps.npy")
        for clip in CLIPS:
            # The first run of all warms the machine's file cache and is not counted.
            explained(clip, dense)
            whole = explained(clip, dense)
            frames = whole.report["frames_out"]

            def row(
                told: Measured, name: list[str], frames: int = frames, all_: float = whole.report["cpu"]
            ) -> list[str]:
                count = told.report["frames_explained"]
                assert count + told.report["frames_held"] == told.report["frames_out"] == frames
                cosine = cosines(maps, dense)
                return [
                    *name,
                    f"{count} of {frames}",
                    f"{frames / count:.1f}",
                    f"{cosine.mean():.4f}",
                    f"{cosine.min():.3f}",
                    f"{told.report['cpu'] / all_:.2f}",
                ]

            for every in EVERY:
                for between in BETWEEN:
                    number = every if every == "auto" else int(every)
                    told = explained(clip, maps, every=number, between=between)
                    rows.append(row(told, [f"{clip} every {every}", between]))
            for change in CHANGES:
                told = explained(clip, maps, every="auto", change=float(change))
                bounds.append(row(told, [clip, change]))
    head = ["explained", "times fewer", "mean cosine", "smallest", "CPU time"]
    write_section(
        "every",
        f"""## Fewer frames explained

`streamcam process --every … --between …`, embedded model, Grad-CAM of the most probable class: cosine of each frame's
map to the one of `--every 1`, and the CPU time of the whole road (decoding, drawing and encoding too) as a part of that
of `--every 1`, once each. Made by `make bench-every`.

Machine: {machine()}.

{table(["clip", "between", *head], rows)}

`--every auto --between hold` by its bound (`--change`; 0.14 is the default):

{table(["clip", "change", *head], bounds)}

In `cockatoo.mp4` the most probable class changes at about every third frame, and what is explained with it: the
smallest cosines are of frames whose class is another than that of the map they hold, which no way between can help.""",
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["case"]:
        case(sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))
    else:
        main()
