"""The cost of the parts of a clip in one run: python along.py CLIP OUT PARTS."""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Run it and print the cost of each part."""
    clip, out, parts = sys.argv[1], sys.argv[2], int(sys.argv[3])
    from streamcam.options import make_job
    from streamcam.pipeline import RunCallbacks, run

    marks: list[tuple[int, float, float, float]] = []
    total = [0]

    def opened(info: Any) -> None:
        total[0] = info.frames

    def on_frame(item: Any) -> None:
        index = item.frame.index
        if index * parts // total[0] != (index - 1) * parts // total[0]:
            marks.append((index, time.process_time(), time.perf_counter(), resident_mib()))
            print(f"{index} of {total[0]}", file=sys.stderr, flush=True)

    run(make_job(clip, out, overwrite=True), callbacks=RunCallbacks(on_open=opened, on_frame=on_frame))
    marks.append((total[0], time.process_time(), time.perf_counter(), resident_mib()))
    pairs = list(itertools.pairwise(marks))
    frames = [b[0] - a[0] for a, b in pairs]
    print(
        json.dumps(
            {
                "frames": frames,
                "cpu": [(b[1] - a[1]) / n for (a, b), n in zip(pairs, frames, strict=True)],
                "wall": [(b[2] - a[2]) / n for (a, b), n in zip(pairs, frames, strict=True)],
                "memory": [b[3] for _, b in pairs],
            }
        )
    )


def resident_mib() -> float:
    """MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


if __name__ == "__main__":
    main()
