"""Cameras that are plugged in here."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import av.device
import av.error

FORMATS = {"linux": "video4linux2", "darwin": "avfoundation", "win32": "dshow"}
"""`sys.platform` -> FFmpeg's format for its cameras."""


@dataclass(frozen=True, slots=True)
class Device:
    """A camera.

    Attributes:
        number: N of ``webcam:N``.
        path: what FFmpeg opens.
        name: for people; may be empty.
    """

    number: int
    path: str
    name: str

    def __str__(self) -> str:
        return f"webcam:{self.number}" + (f" ({self.name})" if self.name else "")


def devices() -> list[Device]:
    """The cameras there are, by number; empty also where this system does not tell."""
    if sys.platform == "linux":
        return linux_devices(Path("/dev"), Path("/sys/class/video4linux"))
    try:
        found = av.device.enumerate_input_devices(FORMATS[sys.platform])
    except (KeyError, av.error.FFmpegError, OSError, ValueError, RuntimeError, NotImplementedError):
        return []
    cameras = [device for device in found if "video" in device.media_types or not device.media_types]
    if sys.platform == "win32":
        return [Device(number, f"video={one.name}", one.description) for number, one in enumerate(cameras)]
    return [Device(number, f"{number}:none", one.description) for number, one in enumerate(cameras)]


def linux_devices(folder: Path, names: Path) -> list[Device]:
    """The cameras that Linux shows.

    Args:
        folder: where ``videoN`` are.
        names: where ``videoN/name`` are.
    """
    found = []
    for path in folder.glob("video*"):
        number = re.fullmatch(r"video(\d+)", path.name)
        if number:
            told = names / path.name / "name"
            name = told.read_text(errors="replace").strip() if told.is_file() else ""
            found.append(Device(int(number[1]), str(path), name))
    return sorted(found, key=lambda device: device.number)
