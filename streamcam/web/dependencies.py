"""Dependencies of routes: the run, a camera, snapshots and WebRTC sessions."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, HTTPException, Request

from ..live.status import CameraHandle, Controller, Snapshot
from .history import HistoryRecorder
from .snapshots import SnapshotStore
from .webrtc import WebRtcManager


def get_controller(request: Request) -> Controller:
    """Return the run of this application."""
    controller: Controller = request.app.state.controller
    return controller


ControllerDep = Annotated[Controller, Depends(get_controller)]


def get_camera(name: str, controller: ControllerDep) -> CameraHandle:
    """Return the camera of a path."""
    if (camera := controller.handles.get(name)) is None:
        raise HTTPException(404, f"unknown camera {name!r}; expected one of {', '.join(controller.handles)}")
    return camera


CameraDep = Annotated[CameraHandle, Depends(get_camera)]


def get_snapshot_store(request: Request) -> SnapshotStore:
    """Return the snapshots of this application."""
    store: SnapshotStore = request.app.state.snapshots
    return store


SnapshotStoreDep = Annotated[SnapshotStore, Depends(get_snapshot_store)]


def get_snapshot(id: str, store: SnapshotStoreDep) -> Snapshot:  # noqa: A002
    """Return the snapshot of a path."""
    if (snapshot := store.get(id)) is None:
        raise HTTPException(404, f"unknown snapshot {id!r}; only the newest are kept")
    return snapshot


SnapshotDep = Annotated[Snapshot, Depends(get_snapshot)]


def get_history(request: Request) -> HistoryRecorder:
    """Return the history of this application's cameras."""
    history: HistoryRecorder = request.app.state.history
    return history


HistoryDep = Annotated[HistoryRecorder, Depends(get_history)]


def get_webrtc_manager(request: Request) -> WebRtcManager:
    """Return the WebRTC sessions of this application."""
    webrtc_manager: WebRtcManager = request.app.state.webrtc_manager
    return webrtc_manager


WebRtcDep = Annotated[WebRtcManager, Depends(get_webrtc_manager)]
