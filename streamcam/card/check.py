"""Tries out whether frames can stay on this machine's card, by comparing with the processor's way.

It runs in a process of its own (``python -m streamcam.card``): drivers that do not go together end a process.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from ..compose import Painter
from ..config import DrawOptions, SinkOptions, SourceOptions
from ..cuda import driver_version
from ..errors import DeviceError
from ..frames import Colour, Evidence, Explained, Frame, SourceInfo, planes_of
from ..geometry import fit
from ..sinks import open_sink
from ..sources import open_source
from ..sources.scale import Scaler
from .painter import CardPainter
from .scaler import CardScaler
from .taker import Taker

_SIZE = 1000, 562
"""Its lines have gaps on a card."""

_FRAMES = 60
"""More than a decoder and an encoder hold at once: one that reads what is not finished shows in some of them."""

_VIEW = 224, 224
_LARGEST_DIFFERENCE = 2.0
"""Of the model's view, 0–255 on average."""

_LEAST_LIKENESS = 30.0
"""dB between the pictures that the card and the processor have drawn, after encoding."""

TRANSIENT = 3
"""Exit code of a trial that failed by something that may pass."""

_LONGEST = 300.0
"""Seconds after which the process hangs."""


def surroundings() -> tuple[str, ...]:
    """What the result depends on, beside what `Store.key` adds."""
    return av.__version__, av.ffmpeg_version_info, driver_version()


def try_out() -> tuple[str, bool]:
    """Runs `check` in a process of its own.

    Returns:
        What is wrong, in a line, empty where all is well; and whether it would come out so again: a card that is short
        of memory or encoders may have them another time.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "streamcam.card"],
            capture_output=True,
            text=True,
            timeout=_LONGEST,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the trial failed: {error}", False
    if done.returncode == 0:
        return "", True
    said = done.stdout.strip().splitlines()
    return said[-1] if said else f"the trial ended with {done.returncode}", done.returncode != TRANSIENT


def check(device: str) -> None:
    """Decodes, scales, draws and encodes a clip on a card, and compares with what the processor makes of it.

    Args:
        device: as from `choose_devices`.

    Raises:
        DeviceError: something differs, or does not work together.
        StreamcamError: something else fails.
    """
    with tempfile.TemporaryDirectory(prefix="streamcam-") as folder:
        clip, out = Path(folder, "clip.mp4"), Path(folder, "out.mp4")
        with open_sink(SinkOptions(path=clip, encode="gpu"), _INFO) as sink:
            for frame in _synthetic():
                sink.write(frame.picture, frame.pts)
        wanted = list(_drawn_by_card(clip, out, device))
        with open_source(SourceOptions(url=str(out))) as source:
            found = [[plane.copy() for plane in planes_of(frame.picture)] for frame in source]
    if len(found) != _FRAMES:
        raise DeviceError(f"{len(found)} of {_FRAMES} frames came back")
    for n, (mine, theirs) in enumerate(zip(wanted, found, strict=True)):
        likeness = min(_likeness(*planes) for planes in zip(mine, theirs, strict=True))
        if likeness < _LEAST_LIKENESS:
            raise DeviceError(f"frame {n}, drawn on the card, is only {likeness:.0f} dB like that of the processor")


def _drawn_by_card(clip: Path, out: Path, device: str) -> Iterator[list[NDArray[np.uint8]]]:
    """Writes the clip as drawn on the card, and yields what the processor draws."""
    url = SourceOptions(url=str(clip), decode="gpu")
    with open_source(url, stay=True) as stays, open_source(url) as source:
        if not stays.info.on_card:
            raise DeviceError("the decoder's frames do not stay on the card")
        geometry = fit("letterbox", _SIZE, _VIEW)
        seen, seen_by_card = Scaler(geometry, source.info.colour), CardScaler(geometry, stays.info.colour, device)
        painter = Painter(DrawOptions(), source.info, geometry, detail="trial")
        brush = CardPainter(DrawOptions(), stays.info, geometry, detail="trial", device=device)
        with open_sink(SinkOptions(path=out, encode="gpu"), stays.info) as sink:
            # All of them are taken first, so that the decoder writes over what was not copied in time.
            for there, here in zip(list(Taker(device)(stays)), source, strict=True):
                difference = seen_by_card(there.picture).astype(float) - seen(here.picture)
                if np.abs(difference).mean() > _LARGEST_DIFFERENCE:
                    raise DeviceError(f"frame {here.index} is scaled differently on the card")
                sink.write(brush.draw(_explained(there)), there.pts)
                yield [plane.copy() for plane in planes_of(painter.draw(_explained(here)))]


_INFO = SourceInfo("trial", *_SIZE, "yuv420p", Fraction(1, 25), colour=Colour(1, 1, 1, 1), rate=Fraction(25))


def _synthetic() -> Iterator[Frame]:
    """Waves that move, so that each frame differs from the others all over."""
    down, across = np.mgrid[: _SIZE[1], : _SIZE[0]]
    for n in range(_FRAMES):
        picture = VideoFrame(*_SIZE, "yuv420p")
        for k, plane in enumerate(planes_of(picture)):
            rows, columns = plane.shape
            plane[:] = 128 + 90 * np.sin((across[:rows, :columns] + (k + 1) * down[:rows, :columns]) / 40 + n * (k + 1))
        yield Frame(n, n, picture)


def _explained(frame: Frame) -> Explained:
    heatmap = np.roll(np.eye(7, dtype=np.float32), frame.index, axis=1)
    return Explained(replace(frame, pixels=None), (Evidence(heatmap, f"{frame.index}", 1.0, 0.5, 0, 1.0),))


def _likeness(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    error = float(np.mean((one.astype(float) - other) ** 2))
    return 10 * float(np.log10(255**2 / max(error, 1e-9)))
