"""Notifications to systemd, received as systemd does."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streamcam.cli.systemd import notify, notify_while_running
from streamcam.live.status import CameraStatus
from tests.waiting import wait_until


@pytest.fixture
def service_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield receiver


class Controller:
    """A run whose cameras change their state from the test."""

    def __init__(self, *states: Any) -> None:
        self.cameras = [CameraStatus(f"cam{n}", "lavfi:x", state) for n, state in enumerate(states)]
        self.polled = 0

    def set(self, *states: Any) -> None:
        self.cameras = [replace(camera, state=one) for camera, one in zip(self.cameras, states, strict=True)]

    def status(self) -> Any:
        self.polled += 1
        return SimpleNamespace(cameras=self.cameras)


def is_silent(receiver: socket.socket) -> bool:
    receiver.setblocking(False)
    try:
        receiver.recv(100)
        return False
    except BlockingIOError:
        return True
    finally:
        receiver.settimeout(60)


def wait_for_polls(controller: Controller, count: int = 2) -> None:
    before = controller.polled
    wait_until(lambda: controller.polled >= before + count)


def test_ready_once_the_cameras_are_open_and_stopping_once_they_are_closed(service_manager: socket.socket) -> None:
    controller: Any = Controller("opening", "opening")
    with notify_while_running(controller):
        for states in (("live", "opening"), ("lost", "lost"), ("ended", "lost")):
            controller.set(*states)
            wait_for_polls(controller)
            assert is_silent(service_manager)
        controller.set("live", "lost")
        assert service_manager.recv(100) == b"READY=1\nSTATUS=1 of 2 cameras open"
        controller.set("lost", "live")
        wait_for_polls(controller)
        assert is_silent(service_manager)
        controller.set("ended", "ended")
        assert service_manager.recv(100) == b"STOPPING=1"
    assert is_silent(service_manager)


def test_stopping_is_sent_when_the_run_ends_before_its_cameras(service_manager: socket.socket) -> None:
    with notify_while_running(Controller("opening")):  # type: ignore[arg-type]
        pass
    assert service_manager.recv(100) == b"STOPPING=1"


def test_nothing_happens_without_systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    controller: Any = Controller("live")
    with notify_while_running(controller):
        pass
    assert controller.polled == 0
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("READY=1")


def test_socket_may_be_in_the_abstract_namespace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"streamcam-test-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        receiver.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify("READY=1", "STATUS=fine")
        assert receiver.recv(100) == b"READY=1\nSTATUS=fine"
