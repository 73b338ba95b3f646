"""Cameras that are connected to this machine."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import av.device
import av.error

CAPTURE_FORMATS = {"linux": "video4linux2", "darwin": "avfoundation", "win32": "dshow"}
"""`sys.platform` -> FFmpeg's format for its cameras."""


@dataclass(frozen=True, slots=True)
class Webcam:
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


def list_webcams() -> list[Webcam]:
    """Return the connected cameras, by number.

    Empty if this system cannot list them.
    """
    if sys.platform == "linux":
        return list_linux_webcams(Path("/dev"), Path("/sys/class/video4linux"))
    try:
        found = av.device.enumerate_input_devices(CAPTURE_FORMATS[sys.platform])
    except (KeyError, av.error.FFmpegError, OSError, ValueError, RuntimeError, NotImplementedError):
        return []
    cameras = [device for device in found if "video" in device.media_types or not device.media_types]
    if sys.platform == "win32":
        return [Webcam(number, f"video={one.name}", one.description) for number, one in enumerate(cameras)]
    return [Webcam(number, f"{number}:none", one.description) for number, one in enumerate(cameras)]


def list_linux_webcams(device_directory: Path, names_directory: Path) -> list[Webcam]:
    """Return the cameras that Linux lists.

    Args:
        device_directory: where ``videoN`` are.
        names_directory: where ``videoN/name`` are.
    """
    found = []
    for path in device_directory.glob("video*"):
        number = re.fullmatch(r"video(\d+)", path.name)
        if number:
            name_file = names_directory / path.name / "name"
            name = name_file.read_text(errors="replace").strip() if name_file.is_file() else ""
            found.append(Webcam(int(number[1]), str(path), name))
    return sorted(found, key=lambda device: device.number)
