"""Whether a camera's frames wait for their own maps."""

from __future__ import annotations

_WEIGHT = 1 / 12
"""Of the newest frame in the running means: half a second at 25 frames a second."""

_FEW, _MANY = 0.04, 0.15
"""Share of frames passed by below which a model keeps up, and above which it does not."""

_PROMPT = 0.7
"""Part of the patience below which a model counts as prompt again."""


class Pace:
    """Waiting is worth it where the model looks at nearly every frame, and soon. Where it does not, a frame that waits
    would hold up those behind it and make the picture stutter, so each is shown at once, with the newest map there is.

    Args:
        patience: seconds that a frame may wait.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._passed = 0.0
        self._latency = 0.0
        self._keeps_up = True

    @property
    def patience(self) -> float:
        """Seconds that a frame may wait for its own map at the moment."""
        return self._patience if self._keeps_up else 0.0

    def explained(self, latency: float) -> None:
        """The model has looked at a frame; ``latency`` seconds after its arrival that is known."""
        self._latency += (min(latency, 10 * self._patience) - self._latency) * _WEIGHT
        self._note(0.0)

    def passed(self) -> None:
        """The model will not look at a frame: a newer one was there."""
        self._note(1.0)

    def _note(self, passed: float) -> None:
        self._passed += (passed - self._passed) * _WEIGHT
        if self._keeps_up:
            self._keeps_up = self._passed < _MANY and self._latency < self._patience
        else:
            self._keeps_up = self._passed < _FEW and self._latency < _PROMPT * self._patience
