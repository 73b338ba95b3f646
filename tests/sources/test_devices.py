"""Cameras that are plugged in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from streamcam.config import CameraOptions
from streamcam.errors import SourceError
from streamcam.sources import addresses, examine, open_camera
from streamcam.sources.devices import Device, devices, linux_devices


def test_linux_cameras_are_found_by_number(tmp_path: Path) -> None:
    for name in ("video10", "video0", "videography", "video2"):
        (tmp_path / name).touch()
    (tmp_path / "names" / "video0").mkdir(parents=True)
    (tmp_path / "names" / "video0" / "name").write_text("Integrated Camera\n")
    found = linux_devices(tmp_path, tmp_path / "names")
    assert [(device.number, device.name) for device in found] == [(0, "Integrated Camera"), (2, ""), (10, "")]
    assert str(found[0]) == "webcam:0 (Integrated Camera)"
    assert found[2].path == str(tmp_path / "video10")


def test_doctor_is_told() -> None:
    assert examine()["cameras"] == ([str(device) for device in devices()] or "none found")


@pytest.mark.skipif(sys.platform != "linux", reason="paths of Linux")
@pytest.mark.parametrize("url", ["webcam:77", "/dev/video77"])
def test_a_camera_that_is_not_there(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "devices", lambda: [Device(0, "/dev/video0", "Front"), Device(2, "/dev/video2", "")])
    with pytest.raises(SourceError, match=rf"^{url} does not exist; wanted one of webcam:0 \(Front\), webcam:2$"):
        list(open_camera(CameraOptions(url=url)))


def test_a_camera_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "devices", list)
    with pytest.raises(
        SourceError, match="webcam:77 does not exist; wanted a camera that is plugged in: there is none"
    ):
        list(open_camera(CameraOptions(url="webcam:77")))


def test_not_a_number() -> None:
    with pytest.raises(SourceError, match="webcam:front is not a camera's number; wanted webcam, webcam:N or"):
        open_camera(CameraOptions(url="webcam:front"))
