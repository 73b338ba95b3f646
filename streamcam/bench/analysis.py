"""What the numbers say: the slowest stage, the bound and the distance to it, and what more devices are worth."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .runner import Measurement

PIPELINE_STAGES = ("decode", "model", "draw", "encode")
"""The stages of the road, a thread each."""

STAGE_LABELS = {"decode": "decoding and scaling", "model": "the model", "draw": "drawing", "encode": "encoding"}


_NUM_MEDIA_STAGES = 5
"""Cases that no device has a part in."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What is to be said of one device and batch size.

    Attributes:
        device, batch: which.
        fps: frames a second of each of `PIPELINE_STAGES` alone.
        bottleneck: the slowest of them.
        transcode_cpu_seconds, forward_cpu_seconds: CPU seconds a frame of the plain transcode and of the bare forward pass that is cheapest
            on the device: by CPU time on a processor, by wall time on a GPU.
        overlay_cpu_seconds: CPU seconds a frame that the encoder needs more for drawn pictures than for plain ones: what is drawn
            is in the picture, and nobody can leave it out.
        forward_wall_seconds: seconds a frame of that pass.
        forward_precision, forward_batch: which pass that was.
        cores: processor cores.
        wall_seconds, cpu_seconds: seconds a frame from end to end.
    """

    device: str
    batch: int
    fps: dict[str, float]
    bottleneck: str
    transcode_cpu_seconds: float
    forward_cpu_seconds: float
    overlay_cpu_seconds: float
    forward_wall_seconds: float
    forward_precision: str
    forward_batch: int
    cores: int
    wall_seconds: float
    cpu_seconds: float

    @property
    def bound_cpu_seconds(self) -> float:
        """CPU seconds a frame that nobody can do with less than."""
        return self.transcode_cpu_seconds + self.forward_cpu_seconds

    @property
    def bound_wall_seconds(self) -> float:
        """Seconds a frame: the CPU's over the cores. A GPU works beside them: the longer of the two."""
        if self.device.startswith("gpu"):
            return max(self.transcode_cpu_seconds / self.cores, self.forward_wall_seconds)
        return self.bound_cpu_seconds / self.cores

    @property
    def busy_cores(self) -> float:
        """Cores that were busy, on average."""
        return self.cpu_seconds / self.wall_seconds

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **dataclasses.asdict(self),
            "bound_cpu": self.bound_cpu_seconds,
            "bound_cpu_seconds": self.bound_wall_seconds,
            "cpu_over_bound": self.cpu_seconds / self.bound_cpu_seconds,
            "cpu_over_bound_and_overlay": self.cpu_seconds / (self.bound_cpu_seconds + self.overlay_cpu_seconds),
            "wall_over_bound": self.wall_seconds / self.bound_wall_seconds,
            "busy_cores": self.busy_cores,
        }


def analyze(rows: Iterable[Measurement], cores: int) -> list[Analysis]:
    """One for each device and batch of which all that is needed was measured."""
    good = {row.key: row for row in rows if not row.error}
    alone = {row.stage: row for row in good.values() if not row.device}
    forwards = [row for row in good.values() if row.stage == "forward"]
    analyses = []
    for row in good.values():
        if row.stage != "whole":
            continue
        model = good.get(("model", row.device, row.batch, ""))
        device_forwards = [forward for forward in forwards if forward.device == row.device]
        if model is None or not device_forwards or len(alone) < _NUM_MEDIA_STAGES:
            continue
        stages = {**alone, "model": model}
        fps = {part: stages[part].fps for part in PIPELINE_STAGES}
        gpu = row.device.startswith("gpu")
        best = min(device_forwards, key=lambda forward: forward.wall_seconds if gpu else forward.cpu_seconds)
        analyses.append(
            Analysis(
                device=row.device,
                batch=row.batch,
                fps=fps,
                bottleneck=min(fps, key=lambda part: fps[part]),
                transcode_cpu_seconds=alone["transcode"].cpu_seconds,
                forward_cpu_seconds=best.cpu_seconds,
                overlay_cpu_seconds=alone["encode"].cpu_seconds - alone["encode_plain"].cpu_seconds,
                forward_wall_seconds=best.wall_seconds,
                forward_precision=best.precision,
                forward_batch=best.batch,
                cores=cores,
                wall_seconds=row.wall_seconds,
                cpu_seconds=row.cpu_seconds,
            )
        )
    return analyses


def best_batch(rows: Iterable[Measurement], device: str) -> int | None:
    """The batch that is fastest from end to end; None where none works."""
    ends = [row for row in rows if row.stage == "whole" and row.device == device and not row.error]
    return max(ends, key=lambda row: row.fps).batch if ends else None


def scaling(rows: Iterable[Measurement]) -> list[dict[str, Any]]:
    """End to end on the first device alone and on the first two, three … together; empty where there is one."""
    ends = [row for row in rows if row.stage == "whole" and not row.error]
    multi_device = [row for row in ends if "," in row.device]
    steps: list[dict[str, Any]] = []
    for row in multi_device:
        first = next((e for e in ends if e.device == row.device.split(",")[0] and e.batch == row.batch), None)
        if first is None:
            continue
        steps = steps or [{"devices": 1, "device": first.device, "batch": row.batch, "fps": first.fps, "speedup": 1.0}]
        count = row.device.count(",") + 1
        steps.append(
            {
                "devices": count,
                "device": row.device,
                "batch": row.batch,
                "fps": row.fps,
                "speedup": row.fps / first.fps,
            }
        )
    return steps
