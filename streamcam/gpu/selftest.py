"""Test frames on the GPU by comparison with the CPU.

The test runs in a separate process (``python -m streamcam.gpu``): incompatible drivers crash a process.
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

from ..compose import FrameRenderer
from ..errors import DeviceError
from ..frames import Attribution, CaptionFacts, ColorSpec, ExplainedFrame, Frame, SourceInfo
from ..geometry import fit_to_input
from ..media.cuda import driver_version
from ..media.planes import plane_arrays
from ..options import DrawOptions, SinkOptions, SourceOptions
from ..sinks import open_sink
from ..sources import open_source
from ..sources.resize import InputResizer
from .frame_copy import SurfaceCopier
from .renderer import GpuRenderer
from .resizer import GpuResizer

_FRAME_SIZE = 1000, 562
"""A width whose lines are padded in GPU memory."""

_NUM_FRAMES = 60
"""More than a decoder and an encoder hold at once, so that a read of an unfinished frame shows."""

_INPUT_SIZE = 224, 224
_MAX_MEAN_DIFFERENCE = 2.0
"""Largest mean difference of the model's input, 0–255."""

_MIN_PSNR_DB = 30.0
"""Least PSNR between the frames drawn by GPU and CPU, after encoding."""

EXIT_TRANSIENT = 3
"""Exit code of a self-test that failed by a transient error."""

SELFTEST_TIMEOUT_SECONDS = 300.0
"""Seconds after which the process counts as hung."""


def selftest_key() -> tuple[str, ...]:
    """Return the dependencies of the result that `CompileCache.cache_key` does not add."""
    return av.__version__, av.ffmpeg_version_info, driver_version()


def run_selftest() -> tuple[str, bool]:
    """Run `check` in a separate process.

    Returns:
        The error in one line, empty if there is none; and True if the result is permanent: a GPU that is short of
        memory or encoder sessions may have them another time.
    """
    try:
        process = subprocess.run(
            [sys.executable, "-P", "-m", "streamcam.gpu"],
            capture_output=True,
            text=True,
            timeout=SELFTEST_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the self-test failed: {error}", False
    if process.returncode == 0:
        return "", True
    lines = process.stdout.strip().splitlines()
    reason = lines[-1] if lines else f"the self-test exited with {process.returncode}"
    return reason, process.returncode != EXIT_TRANSIENT


def check(device: str) -> None:
    """Decode, scale, draw and encode a clip on GPU and CPU; compare.

    Args:
        device: as from `resolve_devices`.

    Raises:
        DeviceError: something differs, or does not work together.
        StreamcamError: something else fails.
    """
    with tempfile.TemporaryDirectory(prefix="streamcam-") as folder:
        clip_path, output_path = Path(folder, "clip.mp4"), Path(folder, "out.mp4")
        with open_sink(SinkOptions(path=clip_path, encoder="nvenc"), _INFO) as sink:
            for frame in _synthetic_frames():
                sink.write(frame.video_frame, frame.pts)
        cpu_frames = list(_render_on_gpu(clip_path, output_path, device))
        with open_source(SourceOptions(url=str(output_path))) as source:
            gpu_frames = [[plane.copy() for plane in plane_arrays(frame.video_frame)] for frame in source]
    if len(gpu_frames) != _NUM_FRAMES:
        raise DeviceError(f"{len(gpu_frames)} of {_NUM_FRAMES} frames came back")
    for n, (cpu_planes, gpu_planes) in enumerate(zip(cpu_frames, gpu_frames, strict=True)):
        psnr_db = min(_psnr(*planes) for planes in zip(cpu_planes, gpu_planes, strict=True))
        if psnr_db < _MIN_PSNR_DB:
            raise DeviceError(f"frame {n}, drawn on the GPU, is only {psnr_db:.0f} dB like that of the CPU")


def _render_on_gpu(clip_path: Path, output_path: Path, device: str) -> Iterator[list[NDArray[np.uint8]]]:
    """Write the clip as the GPU draws it; yield the CPU's frames."""
    source_options = SourceOptions(url=str(clip_path), decoder="nvdec")
    with open_source(source_options, keep_on_gpu=True) as gpu_source, open_source(source_options) as cpu_source:
        if not gpu_source.info.on_gpu:
            raise DeviceError("the decoder's frames do not stay on the GPU")
        geometry = fit_to_input("letterbox", _FRAME_SIZE, _INPUT_SIZE)
        resize, gpu_resize = (
            InputResizer(geometry, cpu_source.info.color),
            GpuResizer(geometry, gpu_source.info.color, device),
        )
        renderer = FrameRenderer(DrawOptions(), cpu_source.info, geometry, facts=CaptionFacts("self-test"))
        gpu_renderer = GpuRenderer(
            DrawOptions(), gpu_source.info, geometry, facts=CaptionFacts("self-test"), device=device
        )
        with open_sink(SinkOptions(path=output_path, encoder="nvenc"), gpu_source.info) as sink:
            # Copy all frames first, so that the decoder overwrites a surface that was not copied in time.
            for gpu_frame, cpu_frame in zip(list(SurfaceCopier(device)(gpu_source)), cpu_source, strict=True):
                difference = gpu_resize(gpu_frame.video_frame).astype(float) - resize(cpu_frame.video_frame)
                if np.abs(difference).mean() > _MAX_MEAN_DIFFERENCE:
                    raise DeviceError(f"frame {cpu_frame.index} is scaled differently on the GPU")
                sink.write(gpu_renderer.draw(_add_attribution(gpu_frame)), gpu_frame.pts)
                yield [plane.copy() for plane in plane_arrays(renderer.draw(_add_attribution(cpu_frame)))]


_INFO = SourceInfo(
    "self-test", *_FRAME_SIZE, "yuv420p", Fraction(1, 25), color=ColorSpec(1, 1, 1, 1), average_fps=Fraction(25)
)


def _synthetic_frames() -> Iterator[Frame]:
    """Yield moving waves; no two frames are alike anywhere."""
    down, across = np.mgrid[: _FRAME_SIZE[1], : _FRAME_SIZE[0]]
    for n in range(_NUM_FRAMES):
        video_frame = VideoFrame(*_FRAME_SIZE, "yuv420p")
        for k, plane in enumerate(plane_arrays(video_frame)):
            rows, columns = plane.shape
            plane[:] = 128 + 90 * np.sin((across[:rows, :columns] + (k + 1) * down[:rows, :columns]) / 40 + n * (k + 1))
        yield Frame(n, n, video_frame)


def _add_attribution(frame: Frame) -> ExplainedFrame:
    heatmap = np.roll(np.eye(7, dtype=np.float32), frame.index, axis=1)
    return ExplainedFrame(replace(frame, model_input=None), (Attribution(heatmap, f"{frame.index}", 1.0, 0.5, 0, 1.0),))


def _psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    mean_squared_error = float(np.mean((one.astype(float) - other) ** 2))
    return 10 * float(np.log10(255**2 / max(mean_squared_error, 1e-9)))
