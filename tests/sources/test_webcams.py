"""Cameras that are connected to this machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from streamcam.errors import SourceError
from streamcam.options import CameraOptions
from streamcam.sources import open_camera, report_environment
from streamcam.sources.cameras import camera_urls as addresses
from streamcam.sources.cameras.webcams import Webcam, list_linux_webcams, list_webcams


def test_linux_cameras_are_found_by_number(tmp_path: Path) -> None:
    for name in ("video10", "video0", "videography", "video2"):
        (tmp_path / name).touch()
    (tmp_path / "names" / "video0").mkdir(parents=True)
    (tmp_path / "names" / "video0" / "name").write_text("Integrated Camera\n")
    found = list_linux_webcams(tmp_path, tmp_path / "names")
    assert [(device.number, device.name) for device in found] == [(0, "Integrated Camera"), (2, ""), (10, "")]
    assert str(found[0]) == "webcam:0 (Integrated Camera)"
    assert found[2].path == str(tmp_path / "video10")


def test_doctor_reports_webcams() -> None:
    assert report_environment()["cameras"] == ([str(device) for device in list_webcams()] or "none found")


@pytest.mark.skipif(sys.platform != "linux", reason="paths of Linux")
@pytest.mark.parametrize("url", ["webcam:77", "/dev/video77"])
def test_a_camera_that_is_not_there(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        addresses, "list_webcams", lambda: [Webcam(0, "/dev/video0", "Front"), Webcam(2, "/dev/video2", "")]
    )
    with pytest.raises(SourceError, match=rf"^{url} does not exist; expected one of webcam:0 \(Front\), webcam:2$"):
        list(open_camera(CameraOptions(url=url)))


def test_a_camera_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "list_webcams", list)
    with pytest.raises(SourceError, match="webcam:77 does not exist; expected a connected camera; none found"):
        list(open_camera(CameraOptions(url="webcam:77")))


def test_not_a_number() -> None:
    with pytest.raises(SourceError, match="webcam:front is not a camera's number; expected webcam, webcam:N or"):
        open_camera(CameraOptions(url="webcam:front"))
