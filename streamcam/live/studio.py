"""A live run as page and API see it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..config import as_targets
from ..errors import OptionError, nearest
from .feed import Feed
from .lens import Lens
from .screen import Screen
from .status import Monitor, OutletStatus, Settings, Status

if TYPE_CHECKING:
    from ..sinks.outlet import Outlet

_LOOK = ("alpha", "colormap", "caption")
_EXPLAIN = ("method", "layer", "target")


class LiveStudio:
    """See `streamcam.live.status.Studio`.

    Args:
        feeds: the cameras.
        screens: theirs.
        outlets: name of the camera, and where its pictures go.
        lens: what looks at all of them.
    """

    def __init__(
        self, feeds: Sequence[Feed], screens: Sequence[Screen], outlets: Sequence[tuple[str, Outlet]], lens: Lens
    ) -> None:
        self._feeds = {feed.name: feed for feed in feeds}
        self._screens, self._outlets, self._lens = screens, outlets, lens
        self._webrtc = find_spec("aiortc") is not None
        self._began = time.monotonic()
        self._changing, self._drawing = threading.Lock(), threading.Lock()

    @property
    def monitors(self) -> Mapping[str, Monitor]:
        """See `Studio`."""
        return self._feeds

    def status(self) -> Status:
        """See `Studio`."""
        explainer = self._lens.explainer
        return Status(
            cameras=tuple(feed.status() for feed in self._feeds.values()),
            outlets=tuple(
                OutletStatus(
                    camera=camera,
                    to=outlet.to,
                    state=outlet.state,
                    trouble=outlet.trouble,
                    frames=outlet.frames,
                    dropped=outlet.dropped,
                    restarts=outlet.restarts,
                )
                for camera, outlet in self._outlets
            ),
            settings=self._settings(),
            model=explainer.info.name if explainer else "",
            layer=self._lens.layer,
            precision=self._lens.precision,
            device=",".join(explainer.devices) if explainer else "",
            ready=self._lens.ready,
            busy=self._lens.busy,
            webrtc=self._webrtc,
            seconds=round(time.monotonic() - self._began, 1),
        )

    def _settings(self) -> Settings:
        from ..methods import method_name

        explain, draw = self._lens.options, self._screens[0].draw
        return Settings(
            method=method_name(explain.method),
            layer=explain.layer,
            target=tuple(target if isinstance(target, str) else target.__name__ for target in explain.target),
            alpha=draw.alpha,
            colormap=draw.colormap,
            caption=draw.caption,
        )

    def change(self, **settings: Any) -> Settings:
        """See `Studio`."""
        for name in settings:
            if name not in (*_LOOK, *_EXPLAIN):
                known = [field.name for field in fields(Settings)]
                raise OptionError(f"setting {name!r} is not known", do=nearest(name, known))
        look = {n: v for n, v in settings.items() if n in _LOOK}
        explain = {n: v for n, v in settings.items() if n in _EXPLAIN}
        replace(self._screens[0].draw, **look)  # raises before anything has changed
        if explain:
            self._explain(explain)
        with self._drawing:
            draw = replace(self._screens[0].draw, **look)
            for screen in self._screens:
                screen.draw = draw
        return self._settings()

    def _explain(self, explain: dict[str, Any]) -> None:
        """Waits for changes before it, and until its own can be seen."""
        with self._changing:
            if "target" in explain:
                explain["target"] = as_targets(explain["target"])
            if explain.get("method", self._lens.options.method) != self._lens.options.method:
                # What the other method was told means nothing to this one.
                explain["params"] = {}
            now = self._lens.options
            if any(getattr(now, name) != value for name, value in explain.items()):
                self._lens.change(**explain)

    def methods(self) -> tuple[str, ...]:
        """See `Studio`."""
        from ..methods import METHODS

        return tuple(METHODS)

    def layers(self) -> tuple[str, ...]:
        """See `Studio`."""
        return self._lens.layers()

    def labels(self) -> tuple[str, ...]:
        """See `Studio`."""
        explainer = self._lens.explainer
        return tuple(explainer.info.labels) if explainer else ()
