"""A clip made long, and the cost of its parts in one run.

python along.py make SAMPLE SECONDS OUT | run CLIP OUT PARTS
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
    else:
        along(sys.argv[2], sys.argv[3], int(sys.argv[4]))


def make(sample: Path, seconds: int, out: Path) -> None:
    """Repeats the packets of a clip, each round moved on by the clip's length."""
    import av
    from av.packet import Packet

    with av.open(str(sample)) as source, av.open(str(out), "w") as container:
        stream = source.streams.video[0]
        copy = container.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.pts is not None and packet.dts is not None]
        first = min(packet.dts for packet in packets)
        step = round((max(packet.pts for packet in packets) - first) / (len(packets) - 1))
        length = len(packets) * step
        for later in range(0, round(seconds / packets[0].time_base), length):
            for number, packet in enumerate(packets):
                moved = Packet(bytes(packet))
                moved.pts = packet.pts - first + later
                moved.dts = min(number * step + later, moved.pts)
                moved.time_base, moved.is_keyframe, moved.stream = packet.time_base, packet.is_keyframe, copy
                container.mux(moved)


def along(clip: str, out: str, parts: int) -> None:
    from streamcam.config import make_job
    from streamcam.pipeline import Watcher, run

    marks: list[tuple[int, float, float, float]] = []
    total = [0]

    def opened(info: Any) -> None:
        total[0] = info.frames

    def frame(item: Any) -> None:
        index = item.frame.index
        if index * parts // total[0] != (index - 1) * parts // total[0]:
            marks.append((index, time.process_time(), time.perf_counter(), resident()))
            print(f"{index} of {total[0]}", file=sys.stderr, flush=True)

    run(make_job(clip, out, overwrite=True), watcher=Watcher(opened=opened, frame=frame))
    marks.append((total[0], time.process_time(), time.perf_counter(), resident()))
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


def resident() -> float:
    """MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


if __name__ == "__main__":
    main()
