"""A run's figures for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ..live.status import CameraStatus, Controller, OutputStatus

_OUTPUT_STATES = ("starting", "running", "waiting", "ended")


def make_registry(controller: Controller) -> CollectorRegistry:
    """A registry of its own, which asks the run each time it is read."""
    registry = CollectorRegistry()
    registry.register(_RunCollector(controller))
    return registry


class _RunCollector(Collector):
    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def collect(self) -> Iterator[Metric]:
        """The figures of one moment."""
        status = self._controller.status()
        yield GaugeMetricFamily("streamcam_ready", "1 when the model is compiled.", status.ready)
        yield GaugeMetricFamily("streamcam_uptime_seconds", "Seconds since the start.", status.seconds)
        yield from _camera_metrics(status.cameras)
        yield from _output_metrics(status.outputs)


def _camera_metrics(cameras: tuple[CameraStatus, ...]) -> Iterator[Metric]:
    frames = CounterMetricFamily("streamcam_frames", "Frames, by what became of them.", None, ["camera", "stage"])
    reconnects = CounterMetricFamily("streamcam_reconnects", "How often a camera was found again.", None, ["camera"])
    live = GaugeMetricFamily("streamcam_camera_live", "1 while the camera delivers.", None, ["camera"])
    fps = GaugeMetricFamily("streamcam_fps", "Frames shown a second, lately.", None, ["camera"])
    explained = GaugeMetricFamily("streamcam_explained_fps", "Frames explained a second, lately.", None, ["camera"])
    latency = GaugeMetricFamily(
        "streamcam_age_seconds", "Age of what was shown lately, by quantile.", None, ["camera", "quantile"]
    )
    viewers = GaugeMetricFamily("streamcam_viewers", "Viewers of the camera's stream.", None, ["camera"])
    for camera in cameras:
        name = camera.name
        for stage, count in (
            ("in", camera.frames_in),
            ("shown", camera.frames_shown),
            ("explained", camera.frames_explained),
            ("dropped", camera.frames_dropped),
        ):
            frames.add_metric([name, stage], count)
        reconnects.add_metric([name], camera.reconnects)
        live.add_metric([name], camera.state == "live")
        fps.add_metric([name], camera.fps)
        explained.add_metric([name], camera.explained_fps)
        for quantile, milliseconds in (
            ("0.5", camera.latency.p50),
            ("0.99", camera.latency.p99),
            ("1", camera.latency.max),
        ):
            latency.add_metric([name, quantile], milliseconds / 1000)
        viewers.add_metric([name], camera.viewers)
    yield from (frames, reconnects, live, fps, explained, latency, viewers)


def _output_metrics(outputs: tuple[OutputStatus, ...]) -> Iterator[Metric]:
    counters: tuple[tuple[Literal["frames", "dropped", "restarts"], str], ...] = (
        ("frames", "Frames that an output took."),
        ("dropped", "Frames that an output was too slow for."),
        ("restarts", "How often an output was begun anew."),
    )
    for field, help_text in counters:
        counter = CounterMetricFamily(f"streamcam_output_{field}", help_text, None, ["camera", "url"])
        for output in outputs:
            counter.add_metric([output.camera, output.url], getattr(output, field))
        yield counter
    state = GaugeMetricFamily("streamcam_output_state", "1 for its state.", None, ["camera", "url", "state"])
    for output in outputs:
        for state_name in _OUTPUT_STATES:
            state.add_metric([output.camera, output.url, state_name], output.state == state_name)
    yield state
