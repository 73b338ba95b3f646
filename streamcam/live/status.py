"""What can be seen of a live run and changed in it: plain values, the same for page, API and ``--json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..options import Colormap
from .latest_value import LatestValue

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

CameraState: TypeAlias = Literal["opening", "live", "lost", "ended", "paused"]


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from a frame's arrival until it was shown: median, 99th percentile and largest. 0 before any."""

    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0


@dataclass(frozen=True, slots=True)
class ClassScore:
    """A class and its probability, 0–1."""

    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class TargetScore:
    """What is explained, with its score in logits; the probability, 0–1, is None for a target that is no class."""

    label: str
    score: float
    probability: float | None


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """One camera.

    Attributes:
        name: its name.
        source: URL without credentials, or path.
        state: ``opening``, ``live``, ``lost`` (it is tried again), ``ended``, or ``paused``.
        last_error: what was wrong last, in one line; empty while all is well.
        width, height: of its pictures; 0 before the first.
        fps, explained_fps: frames shown and explained in the last seconds, a second.
        latency: of what was shown in the last seconds.
        map_latency_ms: how old the map on the picture is; None where there is none.
        frames_in, frames_shown, frames_explained, frames_dropped, reconnects: since the start.
        top: the most probable classes of the last explained frame, best first.
        targets: what is explained of it.
        viewers: how many look at its pictures.
    """

    name: str
    source: str
    state: CameraState
    last_error: str = ""
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
    viewers: int = 0


@dataclass(frozen=True, slots=True)
class OutputStatus:
    """One output that pictures are pushed to.

    Attributes:
        camera: whose pictures.
        url: where to, without credentials.
        state: ``starting``, ``running``, ``waiting`` (it failed, and is tried again) or ``ended``.
        last_error: what was wrong last, in one line.
        frames, dropped, restarts: since the start.
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
    """What can be changed while it runs.

    Attributes:
        method: name of the explanation method.
        layer: ``auto`` or a layer's name, as asked for.
        target: what is explained, as asked for.
        alpha: opacity where the evidence is full, 0–1.
        colormap: colours of the evidence.
        caption: class, probability, method and layer in a corner.
    """

    method: str
    layer: str
    target: tuple[str, ...]
    alpha: float
    colormap: Colormap
    caption: bool


@dataclass(frozen=True, slots=True)
class Status:
    """All of a run at one moment.

    Attributes:
        cameras, outputs: in the order in which they were given.
        settings: as they are now.
        model, layer, precision, device: what computes; empty until the model is ready.
        ready: True when the model is compiled.
        activity: what is being changed at the moment; empty otherwise.
        webrtc: True where pictures can be had by WebRTC, too.
        seconds: since the start.
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
    """One shown picture.

    Attributes:
        camera: whose.
        png: the annotated picture.
        maps: the raw evidence, float32 ``(targets, h, w)``; None where the picture has none.
        status: of the camera at that moment.
    """

    camera: str
    png: bytes = field(repr=False)
    maps: NDArray[np.float32] | None
    status: CameraStatus


class CameraHandle(Protocol):
    """One camera, for whoever watches it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def jpegs(self) -> LatestValue[bytes]:
        """Its annotated pictures, each encoded once, and only while there are watchers."""
        ...

    @property
    def frames(self) -> LatestValue[tuple[VideoFrame, int] | None]:
        """The same before they are encoded, not to be changed, with their pts in 1/90000 s; None before the first."""
        ...

    def pause(self, paused: bool) -> None:
        """Freezes what is shown; the camera goes on being read."""
        ...

    def snapshot(self) -> Snapshot | None:
        """What is shown now; None before the first picture. Takes milliseconds: it encodes."""
        ...


class Controller(Protocol):
    """A live run, for whoever watches and changes it. Callable from any thread."""

    @property
    def handles(self) -> Mapping[str, CameraHandle]:
        """Cameras by name."""
        ...

    def status(self) -> Status:
        """How things stand."""
        ...

    def change(self, **settings: object) -> Settings:
        """Changes some of `Settings` by name; returns when the change can be seen.

        A new method, layer or target takes as long as it takes to compile; the old one goes on meanwhile.

        Raises:
            StreamcamError: it cannot be done; nothing has changed.
        """
        ...

    def methods(self) -> tuple[str, ...]:
        """Names of the methods there are."""
        ...

    def layers(self) -> tuple[str, ...]:
        """Names of the layers that can be explained, from the input on. Takes seconds the first time."""
        ...

    def labels(self) -> tuple[str, ...]:
        """Names of the model's classes; empty until it is loaded."""
        ...
