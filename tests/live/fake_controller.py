"""A `Controller` in memory: its cameras draw moving frames with Pillow, in a thread."""

from __future__ import annotations

import dataclasses
import io
import math
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Literal, Self

import numpy as np
from av.video.frame import VideoFrame
from PIL import Image, ImageDraw

from streamcam.errors import LayerError, MethodError, ModelError, OptionError, TargetError
from streamcam.live.latest_value import LatestValue
from streamcam.live.status import (
    CameraState,
    CameraStatus,
    ClassScore,
    Latency,
    LatencyHistogram,
    OutputStatus,
    Settings,
    Snapshot,
    Status,
    TargetScore,
)

LABELS = ("tabby", "tiger cat", "Egyptian cat", "Samoyed", "sulphur-crested cockatoo", "espresso", "remote control")
METHODS = ("gradcam", "layercam", "eigencam", "scorecam")
LAYERS = ("stem", "block2", "block4", "top_conv")


class FakeCamera:
    """One camera; tests set its attributes."""

    def __init__(self, name: str, size: tuple[int, int], controller: FakeController) -> None:
        self.name = name
        self.jpegs = LatestValue(b"")
        self.frames: LatestValue[tuple[VideoFrame, int] | None] = LatestValue(None)
        self.state: CameraState = "live"
        self.last_error = ""
        self.size = size
        self.shown = 0
        self.paused = False
        self.stalled = False
        self.latency_source: Literal["capture", "arrival"] = "arrival"
        self.drops = 0
        self.reconnects = 0
        self._controller = controller
        self._image: Image.Image | None = None

    @property
    def latency_histogram(self) -> LatencyHistogram:
        """A third of the frames took up to 50 ms, the others 80 ms."""
        fast = self.shown // 3
        slow = self.shown - fast
        return LatencyHistogram(((0.05, fast), (0.1, self.shown)), self.shown, 0.05 * fast + 0.08 * slow)

    def pause(self, paused: bool) -> None:
        self.paused = paused

    def shown_jpeg(self) -> bytes:
        image = self._image
        if image is None:
            return b""
        jpeg = io.BytesIO()
        image.save(jpeg, "JPEG", quality=80)
        return jpeg.getvalue()

    def snapshot(self) -> Snapshot | None:
        image = self._image
        if image is None:
            return None
        png = io.BytesIO()
        image.save(png, "PNG")
        maps = np.full((len(self._controller.settings.target), 7, 7), 0.5, np.float32)
        return Snapshot(self.name, png.getvalue(), maps, self.status())

    def pixel(self, at: tuple[int, int]) -> tuple[int, int, int]:
        """A color of the shown frame."""
        assert self._image is not None
        return self._image.getpixel(at)  # type: ignore[return-value]

    def step(self, number: int) -> None:
        """Show one more frame."""
        if self.paused or self.state != "live":
            return
        self._image = image = _draw_image(self.size, number, self._controller.settings.alpha)
        self.shown += 1
        if self.jpegs.num_subscribers:
            self.jpegs.put(self.shown_jpeg())
        if self._controller.webrtc:
            shown = VideoFrame.from_image(image).reformat(format="yuv420p", dst_colorspace=5, dst_color_range=1)
            self.frames.put((shown, round((time.monotonic() - self._controller.start_time) * 90_000)))

    def status(self) -> CameraStatus:
        live = self.state == "live" and not self.paused
        turn = time.monotonic() / 7 + len(self.name)
        scores = [math.exp(2.2 * math.sin(turn + 1.3 * n)) for n in range(len(LABELS))]
        order = sorted(range(len(LABELS)), key=lambda n: -scores[n])
        top = tuple(ClassScore(LABELS[n], scores[n] / sum(scores)) for n in order[:5])
        targets = tuple(
            TargetScore(top[0].label if one == "top" else one, 7.25, top[0].probability if one == "top" else 0.031)
            for one in self._controller.settings.target
        )
        seen = self.shown > 0
        return CameraStatus(
            name=self.name,
            source=f"rtsp://***@camera.example/{self.name}",
            state="paused" if self.paused and self.state == "live" else self.state,
            last_error=self.last_error,
            stalled=self.stalled,
            width=self.size[0],
            height=self.size[1],
            fps=24.8 if live and seen else 0.0,
            explained_fps=8.1 if live and seen else 0.0,
            latency=Latency(42.0, 88.0, 131.0) if seen else Latency(),
            latency_source=self.latency_source,
            map_latency_ms=124.0 if seen else None,
            frames_in=self.shown + self.drops,
            frames_shown=self.shown,
            frames_explained=self.shown // 3,
            frames_dropped=self.drops,
            reconnects=self.reconnects,
            top=top if seen else (),
            targets=targets if seen else (),
            viewers=self.jpegs.num_subscribers + self.frames.num_subscribers,
        )


class FakeController:
    """Cameras whose frames move while the ``with`` block runs.

    Attributes:
        changes: arguments of all calls of `change`.
        compiling: while cleared, a change of method, layer or target blocks.
    """

    def __init__(
        self,
        *names: str,
        size: tuple[int, int] = (320, 180),
        fps: float = 25.0,
        outputs: tuple[OutputStatus, ...] = (),
        webrtc: bool = False,
    ) -> None:
        self.settings = Settings("gradcam", "auto", ("top",), 0.6, "turbo", True, "top-left")
        self.cameras = {name: FakeCamera(name, size, self) for name in names or ("cam1",)}
        self.changes: list[dict[str, object]] = []
        self.compiling = threading.Event()
        self.compiling.set()
        self.ready = True
        self.activity = ""
        self.outputs = outputs
        self._fps = fps
        self.webrtc = webrtc
        self.start_time = time.monotonic()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="fake-controller")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stopping.wait(1 / self._fps):
            number += 1
            for camera in self.cameras.values():
                camera.step(number)

    @property
    def handles(self) -> Mapping[str, FakeCamera]:
        return self.cameras

    def status(self) -> Status:
        return Status(
            cameras=tuple(camera.status() for camera in self.cameras.values()),
            outputs=self.outputs,
            settings=self.settings,
            model="efficientnet-lite0" if self.ready else "",
            layer="top_conv" if self.ready else "",
            precision="float32" if self.ready else "",
            device="cpu" if self.ready else "",
            ready=self.ready,
            activity=self.activity,
            webrtc=self.webrtc,
            seconds=time.monotonic() - self.start_time,
        )

    def change(self, **settings: object) -> Settings:
        self.changes.append(settings)
        method, layer, target = settings.get("method"), settings.get("layer"), settings.get("target", ())
        assert isinstance(target, tuple)
        if method is not None and method not in METHODS:
            raise MethodError(f"unknown method {method!r}", expected=f"one of {', '.join(METHODS)}")
        if layer is not None and layer not in ("auto", *LAYERS):
            raise LayerError(f"unknown layer {layer!r}", expected=f"auto, or one of {', '.join(LAYERS)}")
        for one in target:
            if one not in ("top", *LABELS):
                raise TargetError(f"unknown class {one!r}", hint="list the names with streamcam models")
        if settings.get("colormap") == "magma":
            raise OptionError("color map 'magma' is refused here")
        if not self.ready:
            raise ModelError("the model is not ready yet", hint="try again in a moment")
        if method or layer or target:
            self.activity = f"compiling {method or layer or ', '.join(target)}"
            self.compiling.wait()
            self.activity = ""
        with self._lock:
            self.settings = dataclasses.replace(self.settings, **settings)  # type: ignore[arg-type]
        return self.settings

    def methods(self) -> tuple[str, ...]:
        return METHODS

    def layers(self) -> tuple[str, ...]:
        return LAYERS

    def labels(self) -> tuple[str, ...]:
        return LABELS if self.ready else ()


def _draw_image(size: tuple[int, int], number: int, alpha: float) -> Image.Image:
    """Draw a blob that moves over a scene."""
    width, height = size
    x = np.linspace(0, 1, width)[None, :]
    y = np.linspace(0, 1, height)[:, None]
    heat = np.exp(-((x - 0.5 - 0.3 * math.sin(number / 20)) ** 2 + (y - 0.5 - 0.2 * math.cos(number / 13)) ** 2) / 0.03)
    scene = np.stack([90 + 70 * y + 0 * x, 110 + 50 * y + 20 * np.sin(9 * x), 140 - 60 * y + 0 * x], axis=-1)
    mix = (alpha * heat)[..., None]
    image = Image.fromarray(np.uint8(scene * (1 - mix) + np.array([230, 60, 20]) * mix), "RGB")
    ImageDraw.Draw(image).text((6, height - 16), f"frame {number}", fill="white")
    return image
