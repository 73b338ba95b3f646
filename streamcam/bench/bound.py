"""What the numbers say: the slowest stage, the bound and the distance to it, and what more devices are worth."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .measure import Row

PARTS = ("decode", "model", "draw", "encode")
"""The stages of the road, a thread each."""

WORDS = {"decode": "decoding and scaling", "model": "the model", "draw": "drawing", "encode": "encoding"}


_ALONE = 5
"""Cases that no device has a part in."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one device and batch size.

    Attributes:
        device, batch: which.
        fps: frames a second of each of `PARTS` alone.
        bottleneck: the slowest of them.
        transcode, forward: CPU seconds a frame of the plain transcode and of the bare forward pass that is cheapest
            on the device: by CPU time on a processor, by wall time on a GPU.
        overlay: CPU seconds a frame that the encoder needs more for drawn pictures than for plain ones: what is drawn
            is in the picture, and nobody can leave it out.
        forward_wall: seconds a frame of that pass.
        forward_precision, forward_batch: which pass that was.
        cores: processor cores.
        wall, cpu: seconds a frame from end to end.
    """

    device: str
    batch: int
    fps: dict[str, float]
    bottleneck: str
    transcode: float
    forward: float
    overlay: float
    forward_wall: float
    forward_precision: str
    forward_batch: int
    cores: int
    wall: float
    cpu: float

    @property
    def bound_cpu(self) -> float:
        """CPU seconds a frame that nobody can do with less than."""
        return self.transcode + self.forward

    @property
    def bound_wall(self) -> float:
        """Seconds a frame: the CPU's over the cores. A GPU works beside them: the longer of the two."""
        if self.device.startswith("gpu"):
            return max(self.transcode / self.cores, self.forward_wall)
        return self.bound_cpu / self.cores

    @property
    def busy(self) -> float:
        """Cores that were busy, on average."""
        return self.cpu / self.wall

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **dataclasses.asdict(self),
            "bound_cpu": self.bound_cpu,
            "bound_wall": self.bound_wall,
            "cpu_over_bound": self.cpu / self.bound_cpu,
            "cpu_over_bound_and_overlay": self.cpu / (self.bound_cpu + self.overlay),
            "wall_over_bound": self.wall / self.bound_wall,
            "busy_cores": self.busy,
        }


def verdicts(rows: Iterable[Row], cores: int) -> list[Verdict]:
    """One for each device and batch of which all that is needed was measured."""
    good = {row.key: row for row in rows if not row.error}
    alone = {row.stage: row for row in good.values() if not row.device}
    forwards = [row for row in good.values() if row.stage == "forward"]
    told = []
    for row in good.values():
        if row.stage != "whole":
            continue
        model = good.get(("model", row.device, row.batch, ""))
        bare = [forward for forward in forwards if forward.device == row.device]
        if model is None or not bare or len(alone) < _ALONE:
            continue
        stages = {**alone, "model": model}
        fps = {part: stages[part].fps for part in PARTS}
        gpu = row.device.startswith("gpu")
        best = min(bare, key=lambda forward: forward.wall_seconds if gpu else forward.cpu_seconds)
        told.append(
            Verdict(
                device=row.device,
                batch=row.batch,
                fps=fps,
                bottleneck=min(fps, key=lambda part: fps[part]),
                transcode=alone["transcode"].cpu_seconds,
                forward=best.cpu_seconds,
                overlay=alone["encode"].cpu_seconds - alone["encode_plain"].cpu_seconds,
                forward_wall=best.wall_seconds,
                forward_precision=best.precision,
                forward_batch=best.batch,
                cores=cores,
                wall=row.wall_seconds,
                cpu=row.cpu_seconds,
            )
        )
    return told


def best_batch(rows: Iterable[Row], device: str) -> int | None:
    """The batch that is fastest from end to end; None where none works."""
    ends = [row for row in rows if row.stage == "whole" and row.device == device and not row.error]
    return max(ends, key=lambda row: row.fps).batch if ends else None


def scaling(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """End to end on the first device alone and on the first two, three … together; empty where there is one."""
    ends = [row for row in rows if row.stage == "whole" and not row.error]
    joined = [row for row in ends if "," in row.device]
    told: list[dict[str, Any]] = []
    for row in joined:
        first = next((e for e in ends if e.device == row.device.split(",")[0] and e.batch == row.batch), None)
        if first is None:
            continue
        told = told or [{"devices": 1, "device": first.device, "batch": row.batch, "fps": first.fps, "speedup": 1.0}]
        count = row.device.count(",") + 1
        told.append(
            {
                "devices": count,
                "device": row.device,
                "batch": row.batch,
                "fps": row.fps,
                "speedup": row.fps / first.fps,
            }
        )
    return told
