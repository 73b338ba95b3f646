"""Read a source to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streamcam.frames import Frame
from streamcam.options import SourceOptions
from streamcam.sources import Source, open_source


def read(path: Path | str, **options: Any) -> tuple[Source, list[Frame]]:
    with open_source(SourceOptions(url=str(path), **options)) as source:
        return source, list(source)
