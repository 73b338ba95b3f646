"""The fuzzer's cases: case N is the same file in every run."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import av.error

from .mutate import MUTATIONS, damage_tail, declare_size
from .seeds import IMAGES, VIDEOS, Seed, image_seed, pixel_format_seed, pixel_formats, video_seed

DATA = Path(__file__).parent / "data"
SIZES = (
    (13_000, 13_000),
    (16_384, 16_384),
    (65_535, 65_535),
    (1, 65_535),
    (65_535, 1),
    (7_680, 8_640),
    (0, 0),
    (2**31 - 1, 2),
)
_STARTS = (0.001, 0.04, 1 / 3, 0.4799, 0.48, 0.5, 7, 3_600.001, 1e7, 1e15)
"""Odd places of a clip of 0.48 s, and beyond."""
_CAMERA_TURN = 6
_MATROSKA_TURN = 3
_OUTPUT_TURNS = {4: ".gif", 5: ".webp"}
_TIME_FORMATS = ("matroska", "mp4", "nut", "mpegts", "flv", "avi", "asf", "mov", "webm", "ivf")


@dataclass(frozen=True)
class Case:
    """A file to process.

    Attributes:
        kind: of damage.
        name: seed and damage.
        suffix: of the file's name.
        data: the file.
        intact_bytes: length of the beginning that is undamaged, if its frames must be in the output.
    """

    kind: str
    name: str
    suffix: str
    data: bytes
    intact_bytes: int = 0


@dataclass(frozen=True)
class Use:
    """What streamcam does with a case.

    Attributes:
        command: ``process``, ``camera`` or ``explain``.
        suffix: of the output of ``process``.
        window: its ``start`` and ``end``, if any.
    """

    command: Literal["process", "camera", "explain"]
    suffix: str = ""
    window: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.command}{self.suffix}{' a part' if self.window else ''}"


def make_case(number: int) -> Case:
    """Return case ``number``: kinds and seeds take turns, the damage is random with the number as the seed."""
    kind, make = _KINDS[number % len(_KINDS)]
    rng = random.Random(number)
    turn = number // len(_KINDS)
    return make(kind, turn, rng)


def choose_use(number: int, case: Case) -> Use:
    """Return what is done with case ``number``: commands, outputs and windows take turns."""
    turn = number // len(_KINDS)
    is_explained = turn % 2 if case.kind == "image" else turn // _NUM_BOMBS % 2 if case.kind == "size" else 0
    if is_explained:
        return Use("explain")
    if number % _CAMERA_TURN == _CAMERA_TURN - 1:
        return Use("camera")
    if case.kind == "image":
        return Use("process", ".png")
    suffix = ".mkv" if number % _MATROSKA_TURN == 0 else ".mp4"
    if case.intact_bytes or case.kind == "size":
        return Use("process", suffix)
    rng, window = random.Random(f"window of {number}"), dict[str, float]()
    if rng.random() < 0.25:
        window["start"] = rng.choice(_STARTS)
        if rng.random() < 0.5:
            window["end"] = window["start"] + rng.choice((0.001, 0.1, 1e15))
    return Use("process", _OUTPUT_TURNS.get(turn % 6, suffix), window)


def _seed_of(turn: int, rng: random.Random, names: list[str], make: Callable[[str], Seed | None]) -> Seed:
    for offset in range(len(names)):
        seed = make(names[(turn + offset) % len(names)])
        if seed is not None:
            return seed
    raise RuntimeError("this build of FFmpeg can encode none of the seeds")


def _mutated_video(kind: str, turn: int, rng: random.Random) -> Case:
    seed = _seed_of(turn, rng, VIDEOS, video_seed)
    return _mutate(kind, seed, rng)


def _mutated_image(kind: str, turn: int, rng: random.Random) -> Case:
    seed = _seed_of(turn, rng, IMAGES, image_seed)
    return _mutate(kind, seed, rng)


def _mutate(kind: str, seed: Seed, rng: random.Random) -> Case:
    mutation = rng.choice(MUTATIONS)
    return Case(kind, f"{seed.name} {mutation.__name__}", seed.suffix, mutation(seed.data, rng) or b"\0")


def _damaged_tail(kind: str, turn: int, rng: random.Random) -> Case:
    names = [name for name in VIDEOS if (seed := video_seed(name)) is not None and seed.is_streamable]
    seed = _seed_of(turn, rng, names, video_seed)
    data, intact = damage_tail(seed.data, rng)
    return Case(kind, f"{seed.name} from {intact} on", seed.suffix, data, intact)


def _pixel_format(kind: str, turn: int, rng: random.Random) -> Case:
    formats = pixel_formats()
    name = formats[turn % len(formats)]
    seed = pixel_format_seed(name) or _seed_of(turn, rng, VIDEOS, video_seed)
    if turn < len(formats):
        return Case(kind, seed.name, seed.suffix, seed.data)
    return _mutate(kind, seed, rng)


_BOMBS = (
    *("png/rgb24", "bmp/bgr24", "gif/gif", "mjpeg/yuvj420p", "ivf/libvpx", "yuv4mpegpipe/rawvideo", "ppm/rgb24"),
    *("qoi/rgba", "pcx/rgb24", "targa/bgr24", "mjpeg/mjpeg", "ivf/libsvtav1"),
)
_NUM_BOMBS = len(_BOMBS) * len(SIZES)


def _size_bomb(kind: str, turn: int, rng: random.Random) -> Case:
    size = SIZES[turn // len(_BOMBS) % len(SIZES)]
    name = _BOMBS[turn % len(_BOMBS)]
    seed = video_seed(name) if name in VIDEOS else image_seed(name)
    bomb = None if seed is None else declare_size(seed.data, seed.suffix, *size)
    if seed is None or bomb is None:
        return _mutated_image(kind, turn, rng)
    if turn >= 2 * _NUM_BOMBS:
        bomb = rng.choice(MUTATIONS)(bomb, rng) or bomb
    return Case(kind, f"{name} of {size[0]}x{size[1]}", seed.suffix, bomb)


def _time_bomb(kind: str, turn: int, rng: random.Random) -> Case:
    """Mux a valid video's packets with impossible times."""
    container = _TIME_FORMATS[turn % len(_TIME_FORMATS)]
    codec = {"flv": "flv", "webm": "libvpx", "ivf": "libvpx"}.get(container, "mpeg4")
    source = video_seed({"mpeg4": "nut/mpeg4", "flv": "flv/flv+libmp3lame", "libvpx": "webm/libvpx"}[codec])
    damage = rng.choice(("jump", "back", "random", "negative", "equal", "huge", "none"))
    fallback = Case(kind, f"{container} {damage} refused by the muxer", "mkv", b"\0")
    if source is None:
        return fallback
    file = io.BytesIO()
    try:
        with av.open(io.BytesIO(source.data)) as container_in, av.open(file, "w", format=container) as output:
            stream = output.add_stream_from_template(container_in.streams.video[0])
            output.start_encoding()
            for index, packet in enumerate(p for p in container_in.demux(video=0) if p.size):
                packet.time_base = Fraction(1, 1000)
                packet.pts = packet.dts = _bomb_time(damage, index, rng)
                packet.stream = stream
                try:
                    output.mux_one(packet)
                except (av.error.FFmpegError, ValueError, OSError):
                    break
    except (av.error.FFmpegError, ValueError, OSError, OverflowError):
        pass
    return Case(kind, f"{container} {damage}", source.suffix, file.getvalue()) if file.getvalue() else fallback


def _bomb_time(damage: str, index: int, rng: random.Random) -> int | None:
    match damage:
        case "jump":
            return index * 40 + (index // 4) * rng.choice((86_400_000, 3_600_000, 2**31, 2**33))
        case "back":
            return (12 - index) * 40 * rng.choice((1, 1000))
        case "random":
            return rng.randrange(-(2**40), 2**40)
        case "negative":
            return index * 40 - rng.choice((100, 10**6, 2**31))
        case "equal":
            return 7
        case "huge":
            return 2 ** rng.choice((31, 32, 40, 53, 60)) + index * 40
    return None


def _playlist(kind: str, turn: int, rng: random.Random) -> Case:
    targets = ("/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:9/a.ts", "a.ts", "list.m3u8", "concat:a|b")
    target = rng.choice(targets)
    text = rng.choice(
        (
            f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
            f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{target}\n",
            f'#EXTM3U\n#EXT-X-MAP:URI="{target}"\n#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n#EXTINF:1,\na.ts\n',
            f"ffconcat version 1.0\nfile '{target}'\n",
            f"ffconcat version 1.0\nstream\nfile {target}\ninpoint 0\noutpoint 99999999999\n",
            f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=control:{target}\n",
            f"[reference]\nRef1={target}\n",
            f"<?xml version='1.0'?><MPD><BaseURL>{target}</BaseURL></MPD>",
            f"<svg xmlns='http://www.w3.org/2000/svg'><image href='{target}'/></svg>",
            f"# VobSub index file, v7\nid: en, index: 0\ntimestamp: 00:00:00:000, filepos: 0\n# {target}\n",
        )
    ).encode()
    suffix = rng.choice(("m3u8", "mp4", "txt", "ts", "avi", "sdp", "mkv", "png"))
    data = rng.choice(MUTATIONS)(text, rng) if turn % 3 == 2 else text
    return Case(kind, f"{text[:20]!r} as .{suffix}", suffix, data or b"\0")


def _known_file(kind: str, turn: int, rng: random.Random) -> Case:
    """Return a file that once broke streamcam, later with damage."""
    files = sorted(path for path in DATA.iterdir() if path.is_file())
    path = files[turn % len(files)]
    data = path.read_bytes()
    if turn >= len(files):
        data = rng.choice(MUTATIONS)(data, rng) or data
    return Case(kind, path.name, path.suffix.removeprefix("."), data)


_KINDS: list[tuple[str, Callable[[str, int, random.Random], Case]]] = [
    ("video", _mutated_video),
    ("tail", _damaged_tail),
    ("image", _mutated_image),
    ("video", _mutated_video),
    ("pixel format", _pixel_format),
    ("time", _time_bomb),
    ("video", _mutated_video),
    ("size", _size_bomb),
    ("tail", _damaged_tail),
    ("playlist", _playlist),
    ("image", _mutated_image),
    ("known file", _known_file),
]
KINDS = tuple(dict.fromkeys(kind for kind, _ in _KINDS))
