"""Read a source to its end, and the samples of its frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from streamcam.frames import Frame
from streamcam.options import SourceOptions
from streamcam.sources import Source, open_source
from tests.media_helpers import planes


def read(path: Path | str, **options: Any) -> tuple[Source, list[Frame]]:
    with open_source(SourceOptions(url=str(path), **options)) as source:
        return source, list(source)


def luma(frame: Frame) -> np.ndarray[Any, Any]:
    return planes(frame.video_frame)[0]
