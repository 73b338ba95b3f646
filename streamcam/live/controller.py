"""The `Controller` of a live run, for page and API."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..errors import OptionError, did_you_mean
from ..options import normalize_targets
from .camera_session import CameraSession
from .inference import InferenceService
from .renderer import CameraRenderer
from .status import CameraHandle, OutputStatus, Settings, Status

if TYPE_CHECKING:
    from ..sinks.push.output import PushOutput

_DRAW_SETTINGS = ("alpha", "colormap", "caption", "caption_position")
_EXPLAIN_SETTINGS = ("method", "layer", "target")


class LiveController:
    """The `streamcam.live.status.Controller` of `streamcam.live.pipeline.run_live`.

    Args:
        sessions: the cameras.
        renderers: one a camera.
        outputs: each output with the name of its camera.
        inference: the model that all cameras share.
    """

    def __init__(
        self,
        sessions: Sequence[CameraSession],
        renderers: Sequence[CameraRenderer],
        outputs: Sequence[tuple[str, PushOutput]],
        inference: InferenceService,
    ) -> None:
        self._sessions = {session.name: session for session in sessions}
        self._renderers, self._outputs, self._inference = renderers, outputs, inference
        self._webrtc = find_spec("aiortc") is not None
        self._started = time.monotonic()
        self._explain_lock, self._draw_lock = threading.Lock(), threading.Lock()

    @property
    def handles(self) -> Mapping[str, CameraHandle]:
        """See `Controller`."""
        return self._sessions

    def status(self) -> Status:
        """See `Controller`."""
        explainer = self._inference.explainer
        return Status(
            cameras=tuple(session.status() for session in self._sessions.values()),
            outputs=tuple(
                OutputStatus(
                    camera=camera,
                    url=output.url,
                    state=output.state,
                    last_error=output.last_error,
                    frames=output.num_frames,
                    dropped=output.dropped,
                    restarts=output.restarts,
                )
                for camera, output in self._outputs
            ),
            settings=self._settings(),
            model=explainer.info.name if explainer else "",
            layer=self._inference.layer,
            precision=self._inference.precision,
            device=",".join(explainer.pool.active) if explainer else "",
            ready=self._inference.ready,
            activity=self._inference.activity,
            webrtc=self._webrtc,
            seconds=round(time.monotonic() - self._started, 1),
        )

    def _settings(self) -> Settings:
        from ..methods import method_name

        explain, draw = self._inference.options, self._renderers[0].draw
        return Settings(
            method=method_name(explain.method),
            layer=explain.layer,
            target=tuple(target if isinstance(target, str) else target.__name__ for target in explain.target),
            alpha=draw.alpha,
            colormap=draw.colormap,
            caption=draw.caption,
            caption_position=draw.caption_position,
        )

    def change(self, **settings: Any) -> Settings:
        """See `Controller`."""
        for name in settings:
            if name not in (*_DRAW_SETTINGS, *_EXPLAIN_SETTINGS):
                known = [field.name for field in fields(Settings)]
                raise OptionError(
                    f"unknown setting {name!r}", expected=f"one of {', '.join(known)}", hint=did_you_mean(name, known)
                )
        draw_settings = {n: v for n, v in settings.items() if n in _DRAW_SETTINGS}
        explain_settings = {n: v for n, v in settings.items() if n in _EXPLAIN_SETTINGS}
        replace(self._renderers[0].draw, **draw_settings)  # raises before any setting changes
        if explain_settings:
            self._change_explain(explain_settings)
        with self._draw_lock:
            draw = replace(self._renderers[0].draw, **draw_settings)
            for renderer in self._renderers:
                renderer.draw = draw
        return self._settings()

    def _change_explain(self, explain_settings: dict[str, Any]) -> None:
        """Apply a change after earlier ones; return once it is visible."""
        with self._explain_lock:
            if "target" in explain_settings:
                explain_settings["target"] = normalize_targets(explain_settings["target"])
            if explain_settings.get("method", self._inference.options.method) != self._inference.options.method:
                # Parameters belong to one method.
                explain_settings["params"] = {}
            current = self._inference.options
            if any(getattr(current, name) != value for name, value in explain_settings.items()):
                self._inference.change(**explain_settings)

    def methods(self) -> tuple[str, ...]:
        """See `Controller`."""
        from ..methods import METHODS

        return tuple(METHODS)

    def layers(self) -> tuple[str, ...]:
        """See `Controller`."""
        return self._inference.layers()

    def labels(self) -> tuple[str, ...]:
        """See `Controller`."""
        explainer = self._inference.explainer
        return tuple(explainer.info.labels) if explainer else ()
