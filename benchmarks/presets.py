"""Cost of H.264's presets, and their quality on drawn frames: ``make bench-presets``.

The frames are those that streamcam draws on its samples, taken without loss; each preset encodes the same ones from
memory, in the order of the table, round after round.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.frame import PictureType, VideoFrame
from common import (
    REPOSITORY,
    format_median,
    log_progress,
    machine_summary,
    measure,
    streamcam_command,
    table,
    write_section,
)
from numpy.typing import NDArray

from streamcam.sinks.codecs import ENCODERS

CLIPS = ("samoyed_1080p_nogps.mp4", "cockatoo.mp4", "samoyed_640_nogps.mp4")
PHOTOGRAPH, SIZE = "coffee.png", (1280, 720)
PANS = {"coffee.png, panned": 2, "coffee.png, still": 0}
"""Clips made of a photograph, larger than the window that moves over it by so many pixels a frame."""
FRAMES = 60
SCORED = 3
"""One frame of so many is compared."""
QUALITIES = (17, 20, 24, 28)
ROUNDS = 5
X264 = ENCODERS["h264"]
DEFAULT = f"{X264.default_preset}, as streamcam has it"
REFERENCE = "veryfast"
SETTINGS = {
    "ultrafast": X264.make_options(0, "ultrafast"),
    "superfast": X264.make_options(0, "superfast"),
    "superfast with tree, rc-lookahead=20": X264.make_options(0, "superfast") | {"mbtree": "1", "rc-lookahead": "20"},
    DEFAULT: X264.make_options(0, X264.default_preset) | X264.lookahead_options[X264.default_preset],
    REFERENCE: X264.make_options(0, REFERENCE),
    "faster": X264.make_options(0, "faster"),
}

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Encoded:
    """One clip in one setting: bytes, and decibels of PSNR (all samples) and of SSIM (luma)."""

    size: int
    psnr: float
    ssim: float


def draw_frames(clip: str, folder: Path) -> list[VideoFrame]:
    """Return the first frames of a clip as streamcam draws them."""
    out = folder / "drawn.mkv"
    source = write_panned_clip(PANS[clip], folder / "panned.mkv") if clip in PANS else REPOSITORY / "samples" / clip
    measure([*streamcam_command(source, out), "--codec", "ffv1", "--end", "4"])
    with av.open(str(out)) as container:
        return [frame for frame, _ in zip(container.decode(video=0), range(FRAMES), strict=False)]


def write_panned_clip(pixels: int, out: Path) -> Path:
    """Write a clip of the photograph, without loss."""
    (width, height), distance = SIZE, pixels * FRAMES
    photograph = cv2.imread(str(REPOSITORY / "samples" / PHOTOGRAPH))
    assert photograph is not None
    whole = cv2.resize(photograph, (width + distance, height + distance), interpolation=cv2.INTER_CUBIC)
    with av.open(str(out), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(FRAMES):
            top = left = index * pixels
            window = np.ascontiguousarray(whole[top : top + height, left : left + width])
            container.mux(stream.encode(VideoFrame.from_ndarray(window, format="bgr24")))
        container.mux(stream.encode())
    return out


def encode(frames: Sequence[VideoFrame], options: dict[str, str], out: Path) -> tuple[float, int]:
    """CPU seconds and bytes of the frames in a file."""
    began, size = time.process_time(), 0
    with av.open(str(out), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        stream.codec_context.gop_size = 50
        for index, frame in enumerate(frames):
            frame.pict_type, frame.pts, frame.time_base = PictureType.NONE, index, Fraction(1, 25)
            for packet in stream.encode(frame):
                size += packet.size
                container.mux(packet)
        for packet in stream.encode():
            size += packet.size
            container.mux(packet)
    return time.process_time() - began, size


def mean_ssim(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean SSIM of two planes (Wang et al. 2004: Gaussian of 1.5 pixels, 11 wide)."""

    def blur(plane: Floats) -> Floats:
        blurred: Floats = cv2.GaussianBlur(plane, (11, 11), 1.5)
        return blurred

    a, b = one.astype(np.float32), other.astype(np.float32)
    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    common = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    score = (
        (2 * mean_a * mean_b + c1) * (2 * common + c2) / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))
    )
    return float(score.mean())


def quality(frames: Sequence[VideoFrame], out: Path) -> tuple[float, float]:
    """PSNR and SSIM of some frames of a file, in decibels."""
    errors, scores = [], []
    with av.open(str(out)) as container:
        for index, (shown, frame) in enumerate(zip(container.decode(video=0), frames, strict=True)):
            if index % SCORED == 0:
                a, b = shown.to_ndarray(), frame.to_ndarray()
                errors.append(np.square(a.astype(np.int32) - b).mean())
                scores.append(mean_ssim(a[: frame.height], b[: frame.height]))
    return 10 * float(np.log10(255**2 / np.mean(errors))), -10 * float(np.log10(1 - np.mean(scores)))


def more_bits(rates: Sequence[float], decibels: Sequence[float], than: tuple[Sequence[float], Sequence[float]]) -> str:
    """How many more bits the same quality takes, in percent (Bjøntegaard, VCEG-M33, 2001)."""
    low, high = max(min(decibels), min(than[1])), min(max(decibels), max(than[1]))

    def area(rates: Sequence[float], decibels: Sequence[float]) -> float:
        whole = np.polyint(np.polyfit(decibels, np.log(rates), 3))
        return float(np.polyval(whole, high) - np.polyval(whole, low))

    return f"{100 * np.expm1((area(rates, decibels) - area(*than)) / (high - low)):+.0f} %"


def measure_clip(clip: str, folder: Path) -> list[list[str]]:
    """Return the table rows of a clip."""
    log_progress(clip)
    frames, out = draw_frames(clip, folder), folder / "out.mp4"
    points: dict[str, list[Encoded]] = {}
    for name, options in SETTINGS.items():
        points[name] = [
            Encoded(encode(frames, options | {"crf": str(crf)}, out)[1], *quality(frames, out)) for crf in QUALITIES
        ]
    at = QUALITIES.index(X264.default_crf)
    ratios: dict[str, list[float]] = {name: [] for name in SETTINGS}
    cpu: dict[str, list[float]] = {name: [] for name in SETTINGS}
    for _ in range(ROUNDS):
        turn = {name: encode(frames, o | {"crf": str(X264.default_crf)}, out)[0] for name, o in SETTINGS.items()}
        for name, seconds in turn.items():
            cpu[name].append(seconds / len(frames) * 1e3)
            ratios[name].append(seconds / turn[REFERENCE])

    def curve(name: str, of: str) -> tuple[list[float], list[float]]:
        return [point.size for point in points[name]], [getattr(point, of) for point in points[name]]

    return [
        [
            f"{clip}, {name}",
            format_median(cpu[name]),
            format_median(ratios[name], 2),
            f"{points[name][at].size / len(frames) / 1e3:.1f}",
            f"{points[name][at].psnr:.1f}",
            f"{points[name][at].ssim:.1f}",
            more_bits(*curve(name, "psnr"), curve(REFERENCE, "psnr")),
            more_bits(*curve(name, "ssim"), curve(REFERENCE, "ssim")),
        ]
        for name in SETTINGS
    ]


def main() -> None:
    """Measures every clip and write the section."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for clip in (*CLIPS, *PANS) for row in measure_clip(clip, Path(folder))]
    qualities = ", ".join(map(str, QUALITIES))
    default_options = " ".join(f"{key}={value}" for key, value in X264.lookahead_options[X264.default_preset].items())
    head = ["clip, preset", "CPU, ms a frame", f"÷ {REFERENCE}", "kB a frame", "PSNR, dB", "SSIM, dB"]
    head += [f"bits for the same PSNR, to {REFERENCE}", "for the same SSIM"]
    write_section(
        "presets",
        f"""## H.264's presets

Drawn frames of the samples and of clips made of a photograph (Grad-CAM, embedded model; up to {FRAMES} frames),
encoded from memory by libx264, 25 frames a second, a key frame every 50. CPU time, size and quality with
`--crf {X264.default_crf}`, the default; PSNR of all samples, SSIM of luma as −10·log₁₀(1 − SSIM), of one frame in
{SCORED}.
The last two columns: the bits for the same quality, over `--crf` {qualities}
(Bjøntegaard; over the range of quality that both reach). "{DEFAULT}": with `{default_options}`, the default of
`streamcam process`.
CPU time: medians of {ROUNDS} rounds, smallest and largest in brackets. Made by `make bench-presets`.

Machine: {machine_summary()}. Packages: av {av.__version__}.

{table(head, rows)}""",
    )


if __name__ == "__main__":
    main()
