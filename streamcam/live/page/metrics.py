"""A run's figures for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ..status import CameraStatus, OutletStatus, Studio

_OUTLET_STATES = ("starting", "running", "waiting", "ended")


def registry_of(studio: Studio) -> CollectorRegistry:
    """A registry of its own, which asks the run each time it is read."""
    registry = CollectorRegistry()
    registry.register(_Figures(studio))
    return registry


class _Figures(Collector):
    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def collect(self) -> Iterator[Metric]:
        """The figures of one moment."""
        status = self._studio.status()
        yield GaugeMetricFamily("streamcam_ready", "1 when the model is compiled.", status.ready)
        yield GaugeMetricFamily("streamcam_uptime_seconds", "Seconds since the start.", status.seconds)
        yield from _of_cameras(status.cameras)
        yield from _of_outlets(status.outlets)


def _of_cameras(cameras: tuple[CameraStatus, ...]) -> Iterator[Metric]:
    frames = CounterMetricFamily("streamcam_frames", "Frames, by what became of them.", None, ["camera", "stage"])
    reconnects = CounterMetricFamily("streamcam_reconnects", "How often a camera was found again.", None, ["camera"])
    live = GaugeMetricFamily("streamcam_camera_live", "1 while the camera delivers.", None, ["camera"])
    fps = GaugeMetricFamily("streamcam_fps", "Frames shown a second, lately.", None, ["camera"])
    explained = GaugeMetricFamily("streamcam_explained_fps", "Frames explained a second, lately.", None, ["camera"])
    age = GaugeMetricFamily(
        "streamcam_age_seconds", "Age of what was shown lately, by quantile.", None, ["camera", "quantile"]
    )
    watchers = GaugeMetricFamily("streamcam_watchers", "How many watch the camera's stream.", None, ["camera"])
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
        for quantile, milliseconds in (("0.5", camera.ages.p50), ("0.99", camera.ages.p99), ("1", camera.ages.max)):
            age.add_metric([name, quantile], milliseconds / 1000)
        watchers.add_metric([name], camera.watchers)
    yield from (frames, reconnects, live, fps, explained, age, watchers)


def _of_outlets(outlets: tuple[OutletStatus, ...]) -> Iterator[Metric]:
    counted: tuple[tuple[Literal["frames", "dropped", "restarts"], str], ...] = (
        ("frames", "Frames that an output took."),
        ("dropped", "Frames that an output was too slow for."),
        ("restarts", "How often an output was begun anew."),
    )
    for field, told in counted:
        counter = CounterMetricFamily(f"streamcam_outlet_{field}", told, None, ["camera", "to"])
        for outlet in outlets:
            counter.add_metric([outlet.camera, outlet.to], getattr(outlet, field))
        yield counter
    state = GaugeMetricFamily("streamcam_outlet_state", "1 for its state.", None, ["camera", "to", "state"])
    for outlet in outlets:
        for one in _OUTLET_STATES:
            state.add_metric([outlet.camera, outlet.to, one], outlet.state == one)
    yield state
