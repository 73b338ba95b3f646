"""The clip of a benchmark: a file, or a synthetic one, looped or cut to a number of frames."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..errors import OptionError
from ..frames import Frame
from ..geometry import Size
from ..options import SinkOptions, SourceOptions
from ..sinks import open_sink
from ..sources import SOURCES, Source, open_source

if TYPE_CHECKING:
    from av.packet import Packet

SYNTHETIC = "synthetic:"
_MAX_SIDE, _MIN_SIDE = 8192, 64


class LoopedSource:
    """The frames of a file, repeated up to a number of frames; see `streamcam.sources.Source`.

    Args:
        options: the URL is ``looped://COUNT/`` and then the path or URL itself.
        keep_on_gpu: as in `streamcam.sources.open_source`.
    """

    def __init__(self, options: SourceOptions, *, keep_on_gpu: bool = False) -> None:
        count, _, url = options.url.removeprefix("looped://").partition("/")
        self._options, self._keep_on_gpu = replace(options, url=url), keep_on_gpu
        self._count = int(count)
        self._source: Source = open_source(self._options, keep_on_gpu=self._keep_on_gpu)
        self.info = replace(
            self._source.info, num_frames=self._count, duration_seconds=None, passthrough_streams=(), is_image=False
        )
        self.notes: list[str] = []
        self.trailing_packets: tuple[Packet[Any], ...] = ()

    @property
    def decoder(self) -> str:
        """Name of the decoder."""
        return self._source.decoder

    @property
    def skipped(self) -> int:
        """Frames that could not be decoded in the current round."""
        return self._source.skipped

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; see `streamcam.sources.Source`."""
        step = max(1, round(1 / ((self.info.average_fps or 25) * self.info.time_base)))
        index, start = 0, 0
        while True:
            first = last = 0
            for number, frame in enumerate(self._source):
                first = first if number else frame.pts
                last = frame.pts
                yield replace(frame, index=index, pts=start + frame.pts - first, passthrough_packets=())
                index += 1
                if index == self._count:
                    return
            start += last - first + step
            self._source.__exit__(None, None, None)
            self._source = open_source(self._options, keep_on_gpu=self._keep_on_gpu)


def loop_clip(clip: str, frames: int) -> SourceOptions:
    """Return options of a source that loops the clip to ``frames`` frames."""
    SOURCES["looped"] = "streamcam.bench.clip:LoopedSource"
    return SourceOptions(url=f"looped://{frames}/{clip}")


def synthetic_size(clip: str) -> Size | None:
    """Return ``(width, height)`` of ``synthetic:WxH``; None for another clip.

    Raises:
        OptionError: not two even numbers.
    """
    if not clip.startswith(SYNTHETIC):
        return None
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", clip.removeprefix(SYNTHETIC))
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(_MIN_SIDE <= side <= _MAX_SIDE and side % 2 == 0 for side in size):
        raise OptionError(
            f"invalid size {clip}", expected=f"synthetic:WIDTHxHEIGHT, even numbers from {_MIN_SIDE} to {_MAX_SIDE}"
        )
    return size


def write_synthetic(path: Path, size: Size, frames: int) -> None:
    """Encode the synthetic clip as H.264, as `process` would."""
    from ..sources.synthetic import SyntheticSource

    source = SyntheticSource(size, frames)
    with open_sink(SinkOptions(path=path, codec="h264"), source.info) as sink:
        for frame in source:
            sink.write(frame.video_frame, frame.pts)


def file_identity(label: str, name: str) -> dict[str, str]:
    """Return the name of a clip or model; for a file also a digest, which identifies its content."""
    path = Path(name)
    if not path.is_file():
        return {label: name}
    with path.open("rb") as file:
        return {label: path.name, f"{label} digest": hashlib.file_digest(file, "sha256").hexdigest()[:16]}
