"""Tell systemd the state of a service: the datagrams of ``sd_notify(3)``."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..live.status import CameraState, Controller

_POLL_SECONDS = 0.25


@contextlib.contextmanager
def notify_while_running(controller: Controller) -> Iterator[None]:
    """Notify systemd once the cameras are open, and once they are closed.

    Sends ``READY=1`` and ``STOPPING=1``. Cameras are open when each was opened or tried, and one delivers frames.
    """
    if not os.environ.get("NOTIFY_SOCKET"):
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        is_ready = False
        while not ended.wait(_POLL_SECONDS):
            status = controller.status()
            states = [camera.state for camera in status.cameras]
            if all(state == "ended" for state in states):
                break
            if not is_ready and _are_open(states):
                is_ready = True
                num_open = sum(state in ("live", "paused") for state in states)
                notify("READY=1", f"STATUS={num_open} of {len(states)} cameras open")
        notify("STOPPING=1")

    thread = threading.Thread(target=watch, name="systemd", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def notify(*assignments: str) -> None:
    """Send assignments to the service manager; do nothing without one, or if it does not listen."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto("\n".join(assignments).encode(), address)


def _are_open(states: Sequence[CameraState]) -> bool:
    return "opening" not in states and any(state in ("live", "paused") for state in states)
