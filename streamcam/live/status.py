"""State and settings of a live run as plain values.

They are the same for page, API and ``--json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..options import CaptionPosition, Colormap
from .latest_value import LatestValue

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

CameraState: TypeAlias = Literal["opening", "live", "lost", "ended", "paused"]


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from a frame's capture or arrival until it was shown: median, 99th percentile, maximum.

    0 before the first; see ``latency_source``.
    """

    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0


@dataclass(frozen=True, slots=True)
class LatencyHistogram:
    """Latencies of all frames shown since the start, as cumulative counts.

    Attributes:
        buckets: upper bound in seconds, and how many frames took at most that long; bounds ascend.
        count: all frames, those above the last bound included.
        sum_seconds: sum of all latencies.
    """

    buckets: tuple[tuple[float, int], ...] = ()
    count: int = 0
    sum_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ClassScore:
    """A class and its probability, 0–1."""

    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class TargetScore:
    """A target and its score in logits; its probability, 0–1, is None if the target is not a class."""

    label: str
    score: float
    probability: float | None


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """The state of one camera.

    Attributes:
        name: name of the camera.
        source: URL without credentials, or path.
        state: ``opening``, ``live``, ``lost`` (reconnecting), ``ended``, or ``paused``.
        last_error: the last error in one line; empty after recovery.
        stalled: True if no frame arrives for longer than is usual for the camera, or frames arrive and none is shown.
        width, height: frame size in pixels; 0 before the first frame.
        fps, explained_fps: frames shown and explained a second, over the last seconds.
        latency: of the frames shown in the last seconds.
        map_latency_ms: milliseconds since the frame arrived whose map is shown; None without a map.
        frames_in, frames_shown, frames_explained, frames_dropped, reconnects: counts since the start.
        top: the most probable classes of the last explained frame, best first.
        targets: the explained targets of that frame.
        frames_zero_map: explained frames whose map is zero for a target, so that nothing is drawn.
        latency_source: ``capture`` if latencies count from the capture, which RTCP sender reports tell; ``arrival`` if
            they count from when the frame arrived, or should have arrived.
        viewers: open MJPEG and WebRTC streams.
    """

    name: str
    source: str
    state: CameraState
    last_error: str = ""
    stalled: bool = False
    width: int = 0
    height: int = 0
    fps: float = 0.0
    explained_fps: float = 0.0
    latency: Latency = Latency()
    map_latency_ms: float | None = None
    frames_in: int = 0
    frames_shown: int = 0
    frames_explained: int = 0
    frames_dropped: int = 0
    reconnects: int = 0
    top: tuple[ClassScore, ...] = ()
    targets: tuple[TargetScore, ...] = ()
    frames_zero_map: int = 0
    latency_source: Literal["capture", "arrival"] = "arrival"
    viewers: int = 0


@dataclass(frozen=True, slots=True)
class OutputStatus:
    """The state of one output that frames are pushed to.

    Attributes:
        camera: name of the camera.
        url: destination, without credentials.
        state: ``starting``, ``running``, ``waiting`` (before a restart), or ``ended``.
        last_error: the last error in one line; empty after recovery.
        frames, dropped, restarts: counts since the start.
    """

    camera: str
    url: str
    state: str
    last_error: str = ""
    frames: int = 0
    dropped: int = 0
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that can change during a run.

    Attributes:
        method: name of the explanation method.
        layer: ``auto`` or a layer's name, as requested.
        target: the targets, as requested.
        alpha: opacity of the overlay at full attribution, 0–1.
        colormap: color map of the heatmap.
        caption: True to draw class, probability, method and layer in a corner.
        caption_position: that corner.
    """

    method: str
    layer: str
    target: tuple[str, ...]
    alpha: float
    colormap: Colormap
    caption: bool
    caption_position: CaptionPosition


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a run at one moment.

    Attributes:
        cameras, outputs: in the order of the command line.
        settings: current values.
        model, layer, precision, device: of the running explanation; empty until it is ready.
        ready: True once the model is compiled.
        activity: the change in progress; empty otherwise.
        webrtc: True if WebRTC is available.
        seconds: seconds since the start.
    """

    cameras: tuple[CameraStatus, ...]
    outputs: tuple[OutputStatus, ...]
    settings: Settings
    model: str = ""
    layer: str = ""
    precision: str = ""
    device: str = ""
    ready: bool = False
    activity: str = ""
    webrtc: bool = False
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One shown frame with its maps.

    Attributes:
        camera: name of the camera.
        png: the annotated frame.
        maps: raw attributions, float32 ``(targets, h, w)``; None if the frame has none.
        status: of the camera at that moment.
    """

    camera: str
    png: bytes = field(repr=False)
    maps: NDArray[np.float32] | None
    status: CameraStatus


class CameraHandle(Protocol):
    """One camera, for its viewers. Callable from any thread."""

    @property
    def name(self) -> str:
        """Name of the camera."""
        ...

    @property
    def jpegs(self) -> LatestValue[bytes]:
        """Annotated frames as JPEG.

        Each is encoded once, and only while there are viewers.
        """
        ...

    @property
    def frames(self) -> LatestValue[tuple[VideoFrame, int] | None]:
        """The same frames, read-only, before encoding, with pts in 1/90000 s; None before the first."""
        ...

    @property
    def latency_histogram(self) -> LatencyHistogram:
        """Latencies of all frames shown since the start."""
        ...

    def pause(self, paused: bool) -> None:
        """Freeze the shown frame, or continue; the camera is read either way."""
        ...

    def shown_jpeg(self) -> bytes:
        """Return the shown frame as JPEG, empty before the first; takes milliseconds, because it encodes."""
        ...

    def snapshot(self) -> Snapshot | None:
        """Return the shown frame, or None before the first; takes milliseconds, because it encodes."""
        ...


class Controller(Protocol):
    """A live run, for reading its state and changing its settings. Callable from any thread."""

    @property
    def handles(self) -> Mapping[str, CameraHandle]:
        """Cameras by name."""
        ...

    def status(self) -> Status:
        """Return the current state."""
        ...

    def change(self, **settings: object) -> Settings:
        """Change some of `Settings` by name; return once the change is visible.

        A new method, layer or target is compiled first; the old one runs until then.

        Raises:
            StreamcamError: the change is not possible; the settings stay as they were.
        """
        ...

    def methods(self) -> tuple[str, ...]:
        """Return the names of the methods."""
        ...

    def layers(self) -> tuple[str, ...]:
        """Return the layers that can be explained, from the input on; takes seconds the first time."""
        ...

    def labels(self) -> tuple[str, ...]:
        """Return the names of the model's classes; empty until it is loaded."""
        ...
