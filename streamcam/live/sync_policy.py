"""Whether a camera's frames wait for their own maps."""

from __future__ import annotations

_WEIGHT = 1 / 12
"""Of the newest frame in the running means: half a second at 25 frames a second."""

_LOW_DROP_RATIO, _HIGH_DROP_RATIO = 0.04, 0.15
"""Share of frames passed by below which a model keeps up, and above which it does not."""

_RECOVERY_RATIO = 0.7
"""Part of the patience below which a model counts as prompt again."""


class SyncPolicy:
    """Waiting is worth it where the model looks at nearly every frame, and soon. Where it does not, a frame that waits
    would hold up those behind it and make the picture stutter, so each is shown at once, with the newest map there is.

    Args:
        max_wait_seconds: seconds that a frame may wait.
    """

    def __init__(self, max_wait_seconds: float) -> None:
        self._max_wait_seconds = max_wait_seconds
        self._drop_ratio = 0.0
        self._mean_latency_seconds = 0.0
        self._keeps_up = True

    @property
    def wait_seconds(self) -> float:
        """Seconds that a frame may wait for its own map at the moment."""
        return self._max_wait_seconds if self._keeps_up else 0.0

    def record_explained(self, latency_seconds: float) -> None:
        """The model has looked at a frame; ``latency_seconds`` seconds after its arrival that is known."""
        self._mean_latency_seconds += (
            min(latency_seconds, 10 * self._max_wait_seconds) - self._mean_latency_seconds
        ) * _WEIGHT
        self._update(0.0)

    def record_dropped(self) -> None:
        """The model will not look at a frame: a newer one was there."""
        self._update(1.0)

    def _update(self, dropped: float) -> None:
        self._drop_ratio += (dropped - self._drop_ratio) * _WEIGHT
        if self._keeps_up:
            self._keeps_up = self._drop_ratio < _HIGH_DROP_RATIO and self._mean_latency_seconds < self._max_wait_seconds
        else:
            self._keeps_up = (
                self._drop_ratio < _LOW_DROP_RATIO
                and self._mean_latency_seconds < _RECOVERY_RATIO * self._max_wait_seconds
            )
