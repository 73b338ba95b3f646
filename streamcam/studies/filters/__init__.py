"""Feature visualisation: the image that excites a filter most, by gradient ascent.

Olah et al., "Feature Visualization", Distill 2017. Importing this package loads no TensorFlow.
"""

from __future__ import annotations

from .filter_image import FilterImage, Patch
from .result import FilterStudy
from .study import visualize_filters

__all__ = ["FilterImage", "FilterStudy", "Patch", "visualize_filters"]
