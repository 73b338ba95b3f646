"""Routes of a live run: its JSON API, and the frames of its cameras."""

from __future__ import annotations

import functools
import time

from anyio.to_thread import run_sync
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from ..errors import MethodError, StreamcamError, TargetError
from ..imports import is_function_path
from ..live.status import CameraHandle, CameraStatus, Controller, Settings, Status
from ..options import COLORMAPS
from .dependencies import CameraDep, ControllerDep, HistoryDep, SnapshotDep, SnapshotStoreDep, WebRtcDep
from .mjpeg import MjpegResponse, next_jpeg
from .schemas import Answer, Change, History, Offer, Pause, SnapshotCreated, error_responses
from .snapshots import to_npy

_FIRST_FRAME_TIMEOUT_SECONDS = 5.0
"""Seconds to wait for a camera's first frame."""

router = APIRouter(responses=error_responses(401, 403))


@router.get("/api/status", tags=["run"])
def status(controller: ControllerDep) -> Status:
    """Return the state of the run."""
    return controller.status()


@router.get("/api/settings", tags=["settings"])
def settings(controller: ControllerDep) -> Settings:
    """Return the settings that can change, with their current values."""
    return controller.status().settings


@router.patch("/api/settings", tags=["settings"], responses=error_responses(400, 408, 409, 413, 422))
async def change(body: Change, controller: ControllerDep) -> Settings:
    """Change settings; answers once the change is visible, after seconds if it must be compiled."""
    requested = body.model_dump(exclude_none=True)
    if "target" in requested:
        requested["target"] = tuple(requested["target"])
    if not requested:
        return controller.status().settings
    _refuse_code(controller, requested.get("method"), requested.get("target", ()))
    return await run_sync(functools.partial(controller.change, **requested), abandon_on_cancel=True)


@router.get("/api/methods", tags=["settings"])
def methods(controller: ControllerDep) -> tuple[str, ...]:
    """Return the names of the methods."""
    return controller.methods()


@router.get("/api/layers", tags=["settings"], responses=error_responses(409))
async def layers(controller: ControllerDep) -> tuple[str, ...]:
    """Return the layers that can be explained, from the input on; takes seconds the first time."""
    return await run_sync(controller.layers, abandon_on_cancel=True)


@router.get("/api/labels", tags=["settings"])
def labels(controller: ControllerDep) -> tuple[str, ...]:
    """Return the names of the model's classes; empty until it is loaded."""
    return controller.labels()


@router.get("/api/colormaps", tags=["settings"])
def colormaps() -> tuple[str, ...]:
    """Return the names of the color maps."""
    return COLORMAPS


@router.get("/api/cameras", tags=["cameras"])
def cameras(controller: ControllerDep) -> tuple[CameraStatus, ...]:
    """Return the state of all cameras."""
    return controller.status().cameras


@router.get("/api/cameras/{name}", tags=["cameras"], responses=error_responses(404, 422))
def camera(camera: CameraDep, controller: ControllerDep) -> CameraStatus:
    """Return the state of one camera."""
    return _status_of(camera, controller)


@router.get("/api/cameras/{name}/history", tags=["cameras"], responses=error_responses(404, 422))
async def history(camera: CameraDep, recorder: HistoryDep) -> History:
    """Return a camera's most probable classes over ten minutes."""
    return recorder.get(camera.name, time.monotonic())


@router.patch("/api/cameras/{name}", tags=["cameras"], responses=error_responses(400, 404, 408, 409, 413, 422))
def pause(camera: CameraDep, body: Pause, controller: ControllerDep) -> CameraStatus:
    """Freeze the shown frame of a camera, or continue."""
    camera.pause(body.paused)
    return _status_of(camera, controller)


@router.post(
    "/api/cameras/{name}/snapshots", tags=["cameras"], status_code=201, responses=error_responses(404, 409, 422, 503)
)
def snapshot(camera: CameraDep, store: SnapshotStoreDep, request: Request) -> SnapshotCreated:
    """Keep the frame that a camera shows now."""
    if (taken := camera.snapshot()) is None:
        raise _no_frame(camera)
    name = store.add(taken)
    path = f"{request.scope.get('root_path', '')}/api/snapshots/{name}"
    return SnapshotCreated(
        id=name,
        image=f"{path}.png",
        map=None if taken.maps is None else f"{path}.npy",
        status=taken.status,
    )


@router.post("/api/cameras/{name}/webrtc", tags=["cameras"], responses=error_responses(400, 404, 408, 409, 413, 422))
async def webrtc(camera: CameraDep, offer: Offer, controller: ControllerDep, webrtc_manager: WebRtcDep) -> Answer:
    """Send a camera's frames by WebRTC until the connection ends; at most eight sessions in total."""
    if not controller.status().webrtc:
        raise StreamcamError("WebRTC needs aiortc", hint="pip install 'streamcam[webrtc]'")
    return Answer(sdp=await webrtc_manager.answer(camera.frames, offer.sdp), type="answer")


@router.get(
    "/api/snapshots/{id}.png",
    tags=["cameras"],
    response_class=Response,
    responses=error_responses(404, 422) | {200: {"content": {"image/png": {}}}},
)
def snapshot_image(snapshot: SnapshotDep) -> Response:
    """Return the annotated frame of a snapshot."""
    return Response(snapshot.png, media_type="image/png")


@router.get(
    "/api/snapshots/{id}.npy",
    tags=["cameras"],
    response_class=Response,
    responses=error_responses(404, 422) | {200: {"content": {"application/octet-stream": {}}}},
)
def snapshot_map(snapshot: SnapshotDep) -> Response:
    """Return the raw attributions of a snapshot, float32 ``(targets, h, w)``."""
    if (content := to_npy(snapshot)) is None:
        raise HTTPException(404, "this snapshot has no map")
    return Response(content, media_type="application/octet-stream")


@router.get(
    "/cameras/{name}/frame.jpg",
    tags=["cameras"],
    response_class=Response,
    responses=error_responses(404, 422, 503) | {200: {"content": {"image/jpeg": {}}}},
)
async def frame(camera: CameraDep) -> Response:
    """Return the next frame of a camera; the last one if it is paused, lost or ended."""
    jpeg = await next_jpeg(camera, _FIRST_FRAME_TIMEOUT_SECONDS)
    if jpeg is None:
        raise _no_frame(camera)
    return Response(jpeg, media_type="image/jpeg")


@router.get("/cameras/{name}/stream.mjpg", include_in_schema=False)
async def stream(camera: CameraDep, request: Request) -> Response:
    """Send the frames of a camera as Motion JPEG."""
    return MjpegResponse(camera, request.app.state.stopping)


def _no_frame(camera: CameraHandle) -> HTTPException:
    return HTTPException(503, f"camera {camera.name!r} has no frame yet")


def _status_of(camera: CameraHandle, controller: Controller) -> CameraStatus:
    return next(status for status in controller.status().cameras if status.name == camera.name)


def _refuse_code(controller: Controller, method: str | None, targets: tuple[str, ...]) -> None:
    """Refuse import strings, which would import and run code; only the command line accepts them.

    Raises:
        StreamcamError: an import string that the run does not use already.
    """
    current = controller.status().settings
    requested: list[tuple[str, type[StreamcamError]]] = [(target, TargetError) for target in targets]
    if method is not None:
        requested.append((method, MethodError))
    for text, error in requested:
        if is_function_path(text.strip()) and text not in (current.method, *current.target, *controller.labels()):
            raise error(f"{text!r} is a function", expected="a name", hint="name functions on the command line")
