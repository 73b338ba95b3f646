"""Decide whether a camera's frames wait for their own maps."""

from __future__ import annotations

_WEIGHT = 1 / 12
"""Weight of the newest frame in the running means: half a second at 25 frames a second."""

_LOW_DROP_RATIO, _HIGH_DROP_RATIO = 0.04, 0.15
"""Share of unexplained frames below which a model keeps up, and above which it does not."""

_RECOVERY_RATIO = 0.7
"""The mean latency must fall below this part of the wait before frames wait again."""


class SyncPolicy:
    """Let frames wait while the model explains nearly every frame in time.

    With a slower model, a waiting frame would delay the frames behind it and make the video stutter. Then each frame
    is shown at once with the newest map.

    Args:
        max_wait_seconds: the longest wait of a frame.
    """

    def __init__(self, max_wait_seconds: float) -> None:
        self._max_wait_seconds = max_wait_seconds
        self._drop_ratio = 0.0
        self._mean_latency_seconds = 0.0
        self._keeps_up = True

    @property
    def wait_seconds(self) -> float:
        """The longest wait at the moment."""
        return self._max_wait_seconds if self._keeps_up else 0.0

    def record_explained(self, latency_seconds: float) -> None:
        """Record an explained frame, ``latency_seconds`` after its arrival."""
        self._mean_latency_seconds += (
            min(latency_seconds, 10 * self._max_wait_seconds) - self._mean_latency_seconds
        ) * _WEIGHT
        self._update(0.0)

    def record_dropped(self) -> None:
        """Record a frame that the model skipped for a newer one."""
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
