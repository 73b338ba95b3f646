"""Prometheus metrics of a live run."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable, Iterator
from typing import Literal

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from .. import __version__
from ..live.status import CameraHandle, CameraStatus, Controller, OutputStatus

_REPORTED_PACKAGES = ("tensorflow", "keras", "av")
_OUTPUT_STATES = ("starting", "running", "waiting", "ended")
_OUTPUT_LABELS = ("camera", "output", "url")
"""Outputs are numbered from 1: URLs that differ only in their stream key are equal without it."""


def make_registry(controller: Controller) -> CollectorRegistry:
    """Make a registry that reads run and process at each scrape."""
    registry = CollectorRegistry()
    registry.register(_RunCollector(controller))
    ProcessCollector(registry=registry)
    return registry


def _package_version(name: str) -> str:
    """Return a package's version; empty if it has another name."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


class _RunCollector(Collector):
    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._build = {
            "version": __version__,
            "python": platform.python_version(),
            **{name: _package_version(name) for name in _REPORTED_PACKAGES},
        }

    def collect(self) -> Iterator[Metric]:
        """Read the metrics of one moment."""
        status = self._controller.status()
        yield InfoMetricFamily("streamcam_build", "Versions of streamcam and of packages it uses.", self._build)
        yield GaugeMetricFamily("streamcam_ready", "1 once the model is compiled.", status.ready)
        yield GaugeMetricFamily("streamcam_uptime_seconds", "Seconds since the start.", status.seconds)
        yield from _camera_metrics(status.cameras)
        yield _latency_metric(self._controller.handles.values())
        yield from _output_metrics(status.outputs)


def _camera_metrics(cameras: tuple[CameraStatus, ...]) -> Iterator[Metric]:
    frames = CounterMetricFamily("streamcam_frames", "Frames by stage.", None, ["camera", "stage"])
    reconnects = CounterMetricFamily("streamcam_reconnects", "Reconnections to the camera.", None, ["camera"])
    live = GaugeMetricFamily("streamcam_camera_live", "1 while the camera delivers frames.", None, ["camera"])
    fps = GaugeMetricFamily("streamcam_fps", "Frames shown a second, over the last seconds.", None, ["camera"])
    explained = GaugeMetricFamily(
        "streamcam_explained_fps", "Frames explained a second, over the last seconds.", None, ["camera"]
    )
    viewers = GaugeMetricFamily("streamcam_viewers", "Open MJPEG and WebRTC streams of the camera.", None, ["camera"])
    for camera in cameras:
        name = camera.name
        for stage, count in (
            ("in", camera.frames_in),
            ("shown", camera.frames_shown),
            ("explained", camera.frames_explained),
            ("zero_map", camera.frames_zero_map),
            ("dropped", camera.frames_dropped),
        ):
            frames.add_metric([name, stage], count)
        reconnects.add_metric([name], camera.reconnects)
        live.add_metric([name], camera.state == "live")
        fps.add_metric([name], camera.fps)
        explained.add_metric([name], camera.explained_fps)
        viewers.add_metric([name], camera.viewers)
    yield from (frames, reconnects, live, fps, explained, viewers)


def _latency_metric(cameras: Iterable[CameraHandle]) -> Metric:
    latency = HistogramMetricFamily(
        "streamcam_latency_seconds",
        "Seconds from a frame's capture, or else arrival, until it was shown.",
        labels=["camera"],
    )
    for camera in cameras:
        histogram = camera.latency_histogram
        buckets = [(str(bound), count) for bound, count in histogram.buckets]
        latency.add_metric([camera.name], [*buckets, ("+Inf", histogram.count)], histogram.sum_seconds)
    return latency


def _output_metrics(outputs: tuple[OutputStatus, ...]) -> Iterator[Metric]:
    counters: tuple[tuple[Literal["frames", "dropped", "restarts"], str], ...] = (
        ("frames", "Frames that an output accepted."),
        ("dropped", "Frames that an output was too slow to accept."),
        ("restarts", "Restarts of an output."),
    )
    for field, help_text in counters:
        counter = CounterMetricFamily(f"streamcam_output_{field}", help_text, None, _OUTPUT_LABELS)
        for number, output in enumerate(outputs, 1):
            counter.add_metric([output.camera, str(number), output.url], getattr(output, field))
        yield counter
    state = GaugeMetricFamily("streamcam_output_state", "1 for the current state.", None, [*_OUTPUT_LABELS, "state"])
    for number, output in enumerate(outputs, 1):
        for state_name in _OUTPUT_STATES:
            state.add_metric([output.camera, str(number), output.url, state_name], output.state == state_name)
    yield state
