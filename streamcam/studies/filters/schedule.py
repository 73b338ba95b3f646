"""The course of an ascent: shapes first, details later."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ...options import FilterOptions
from ...tf import tf


@dataclass(frozen=True, slots=True)
class Schedule:
    """The course of an ascent, the same for all its filters.

    Attributes:
        octaves: sizes that the images grow through, if the user leaves it open.
        calm_from: share of the steps after which the transformations get weaker.
        calm_at: share of the steps after which there are none.
        fastest: learning rate of the first step without transformations, relative to that of the steps before.
        slowest: the same of the last step.
        frees_colors: the colors are no longer decorrelated once there are no transformations.
    """

    octaves: int
    calm_from: float
    calm_at: float
    fastest: float
    slowest: float
    frees_colors: bool

    def transformation_strength(self, progress: Any) -> Any:
        """Return the strength of the random transformations, from 1 down to 0.

        Args:
            progress: float32 scalar, the share of the steps done.
        """
        return tf.clip_by_value((self.calm_at - progress) / (self.calm_at - self.calm_from), 0.0, 1.0)

    def learning_rate(self, progress: Any, options: FilterOptions) -> Any:
        """Return the learning rate of a step.

        Args:
            progress: float32 scalar, the share of the steps done.
            options: the learning rate of the steps with transformations.
        """
        share = (progress - self.calm_at) / (1 - self.calm_at)
        factor = self.fastest + (self.slowest - self.fastest) * share
        return options.learning_rate * tf.where(progress < self.calm_at, 1.0, factor)


_SCHEDULES = (
    (4, Schedule(octaves=1, calm_from=0.2, calm_at=0.4, fastest=2.5, slowest=0.6, frees_colors=True)),
    (16, Schedule(octaves=2, calm_from=0.5, calm_at=0.7, fastest=1.2, slowest=0.6, frees_colors=True)),
    (math.inf, Schedule(octaves=2, calm_from=0.5, calm_at=0.9, fastest=1.0, slowest=1.0, frees_colors=False)),
)
"""Largest stride of a layer, and the course for it.

First layers respond to details of single pixels: a smaller image cannot hold them, and interpolation blurs them. In
deep layers many steps without transformations cover the shapes with grain.
"""


def choose_schedule(stride: float) -> Schedule:
    """Return the course that suits a layer.

    Args:
        stride: pixels between two positions of the layer; infinite for classes alone.
    """
    return next(schedule for largest, schedule in _SCHEDULES if stride <= largest)
