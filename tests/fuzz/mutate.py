"""Damage to a file: each function takes its bytes and a generator of random numbers, and returns other bytes."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

HEADER_BYTES = 512
_EXTREME = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 16384, 65535)


def flip_header_bits(data: bytes, rng: random.Random) -> bytes:
    return _flip_bits(data, rng, 0, min(HEADER_BYTES, len(data)), rng.randint(1, 12))


def flip_payload_bits(data: bytes, rng: random.Random) -> bytes:
    return _flip_bits(data, rng, min(HEADER_BYTES, len(data) // 2), len(data), rng.randint(1, 64))


def overwrite_number(data: bytes, rng: random.Random) -> bytes:
    """Write extreme numbers of 1 to 8 bytes into the header: sizes, counts, rates, times."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        size = rng.choice((1, 2, 3, 4, 8))
        place = rng.randrange(max(1, min(HEADER_BYTES, len(data)) - size))
        value = rng.choice(_EXTREME) & (256**size - 1)
        changed[place : place + size] = value.to_bytes(size, rng.choice(("big", "little")))
    return bytes(changed)


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(1, max(2, len(data)))]


def cut_out(data: bytes, rng: random.Random) -> bytes:
    begin = rng.randrange(len(data))
    return data[:begin] + data[begin + rng.randint(1, max(1, len(data) // 4)) :]


def duplicate(data: bytes, rng: random.Random) -> bytes:
    begin = rng.randrange(len(data))
    piece = data[begin : begin + rng.randint(1, max(1, len(data) // 4))]
    place = rng.randrange(len(data))
    return data[:place] + piece * rng.randint(1, 3) + data[place:]


def fill(data: bytes, rng: random.Random) -> bytes:
    begin = rng.randrange(len(data))
    length = rng.randint(1, max(1, len(data) // 4))
    piece = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))
    return data[:begin] + piece + data[begin + length :]


def swap(data: bytes, rng: random.Random) -> bytes:
    a, b, c = sorted(rng.randrange(len(data) + 1) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def concatenate(data: bytes, rng: random.Random) -> bytes:
    return data + data[rng.randrange(len(data)) :]


def several(data: bytes, rng: random.Random) -> bytes:
    for mutation in rng.sample(MUTATIONS[:-1], 3):
        data = mutation(data, rng) or data
    return data


MUTATIONS: list[Callable[[bytes, random.Random], bytes]] = [
    flip_header_bits,
    flip_payload_bits,
    overwrite_number,
    truncate,
    cut_out,
    duplicate,
    fill,
    swap,
    concatenate,
    several,
]


def damage_tail(data: bytes, rng: random.Random) -> tuple[bytes, int]:
    """Damage a file from some place on; return it and the length that stays as it was."""
    intact = rng.randint(len(data) // 2, max(len(data) // 2, len(data) - 1))
    tail = data[intact:]
    tail = rng.choice((b"", rng.randbytes(len(tail)), bytes(len(tail)), _flip_bits(tail, rng, 0, len(tail), 64)))
    return data[:intact] + tail, intact


def declare_size(data: bytes, suffix: str, width: int, height: int) -> bytes | None:
    """Write a size into the header of a file; None for a format whose header has it elsewhere."""
    if suffix == "png":
        return data[:16] + struct.pack(">II", width, height) + data[24:]
    if suffix == "bmp":
        return data[:18] + struct.pack("<ii", width, height) + data[26:]
    if suffix == "gif":
        size = struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
        return data[:6] + size + data[10:]
    if suffix in ("jpg", "mjpeg"):
        place = data.find(b"\xff\xc0")
        return data[: place + 5] + struct.pack(">HH", height & 0xFFFF, width & 0xFFFF) + data[place + 9 :]
    if suffix == "ivf":
        return data[:12] + struct.pack("<HH", width & 0xFFFF, height & 0xFFFF) + data[16:]
    if suffix == "y4m":
        return data.replace(b"W96 H64", f"W{width} H{height}".encode(), 1)
    if suffix in ("ppm", "pgm"):
        return data.replace(b"96 64", f"{width} {height}".encode(), 1)
    if suffix == "qoi":
        return data[:4] + struct.pack(">II", width, height) + data[12:]
    if suffix == "pcx":
        return data[:8] + struct.pack("<HH", (width - 1) & 0xFFFF, (height - 1) & 0xFFFF) + data[12:]
    if suffix == "tga":
        return data[:12] + struct.pack("<HH", width & 0xFFFF, height & 0xFFFF) + data[16:]
    return None


def _flip_bits(data: bytes, rng: random.Random, begin: int, end: int, count: int) -> bytes:
    changed = bytearray(data)
    for _ in range(count if end > begin else 0):
        changed[rng.randrange(begin, end)] ^= 1 << rng.randrange(8)
    return bytes(changed)
