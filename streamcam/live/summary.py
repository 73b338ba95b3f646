"""The result of a live run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ..errors import SinkError
from .camera_session import CameraSession
from .controller import LiveController
from .stats import Histogram


@dataclass(frozen=True, slots=True)
class LiveSummary:
    """Result of a live run; the JSON of ``streamcam live``.

    Attributes:
        sources: for each camera the counts ``frames_in``, ``frames_shown``, ``frames_explained``, ``frames_zero_map``,
            ``frames_dropped``, ``frames_paused``, ``frames_skipped``, ``reconnects``, its ``latency_ms`` (``p50``,
            ``p99``, ``max``), ``latency_source`` (``capture`` or ``arrival``), and its ``last_error``, None if there
            was none.
        total: the sums, and the latency over all cameras.
        outputs: for each output its frames, dropped frames, restarts and last error.
        wall_seconds: from the start to the end.
        model, layer, method, precision, device: the explanation and the device that ran it.
        interrupted: True if the user ended it.
        notes: one-line announcements, in order.
    """

    sources: tuple[dict[str, Any], ...]
    total: dict[str, Any]
    outputs: tuple[dict[str, Any], ...]
    wall_seconds: float
    model: str
    layer: str
    method: str
    precision: str
    device: str
    interrupted: bool
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON, with totals at the top level.

        ``total`` holds the totals too.
        """
        plain: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        return {**self.total, **plain}


class OutputError(SinkError):
    """Outputs of a live run failed.

    Attributes:
        summary: of the run, which ended in order.
    """

    def __init__(self, problem: str, summary: LiveSummary, *, hint: str = "") -> None:
        super().__init__(problem, hint=hint)
        self.summary = summary


def summarize(
    sessions: list[CameraSession], controller: LiveController, started: float, interrupted: bool, notes: list[str]
) -> LiveSummary:
    """Return the summary of a run.

    Args:
        sessions: its cameras.
        controller: knows the state of all else.
        started: its begin, in `time.monotonic` seconds.
        interrupted: True if the user ended it.
        notes: its announcements.
    """
    status = controller.status()
    latency = Histogram.merge(session.latencies for session in sessions).latency
    total: dict[str, Any] = {name: sum(session.counts[name] for session in sessions) for name in sessions[0].counts}
    return LiveSummary(
        sources=tuple(session.as_dict() for session in sessions),
        total={**total, "latency_ms": {"p50": latency.p50, "p99": latency.p99, "max": latency.max}},
        outputs=tuple(
            {
                "camera": output.camera,
                "url": output.url,
                "frames": output.frames,
                "dropped": output.dropped,
                "restarts": output.restarts,
                "last_error": output.last_error,
            }
            for output in status.outputs
        ),
        wall_seconds=round(time.monotonic() - started, 3),
        model=status.model,
        layer=status.layer,
        method=status.settings.method,
        precision=status.precision,
        device=status.device,
        interrupted=interrupted,
        notes=tuple(notes),
    )
