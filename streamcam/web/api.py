"""What programs ask and change, in JSON: a translation of `streamcam.live.status.Studio`."""

from __future__ import annotations

import functools
from typing import Annotated

import fastapi
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from ..errors import MethodError, StreamcamError, TargetError
from ..imports import is_function_path
from ..live.status import CameraHandle, CameraStatus, Controller, Settings, Snapshot, Status
from ..options import COLORMAPS
from .schemas import Answer, Change, Offer, Pause, SnapshotCreated, error_responses
from .snapshots import SnapshotStore, to_npy
from .webrtc import WebRtcManager


def get_controller(request: Request) -> Controller:
    """The run that an application shows."""
    controller: Controller = request.app.state.controller
    return controller


ControllerDep = Annotated[Controller, Depends(get_controller)]


def get_camera(name: str, controller: ControllerDep) -> CameraHandle:
    """The camera that an address names."""
    if (found := controller.handles.get(name)) is None:
        raise fastapi.HTTPException(404, f"there is no camera {name!r}; there are {', '.join(controller.handles)}")
    return found


def get_snapshot_store(request: Request) -> SnapshotStore:
    """Those that were taken from this page."""
    store: SnapshotStore = request.app.state.snapshots
    return store


SnapshotStoreDep = Annotated[SnapshotStore, Depends(get_snapshot_store)]


def get_webrtc_manager(request: Request) -> WebRtcManager:
    """Those that watch by WebRTC."""
    webrtc_manager: WebRtcManager = request.app.state.webrtc_manager
    return webrtc_manager


def get_snapshot(id: str, store: SnapshotStoreDep) -> Snapshot:  # noqa: A002
    """The snapshot that an address names."""
    if (found := store.get(id)) is None:
        raise fastapi.HTTPException(404, f"there is no snapshot {id!r} (any more)")
    return found


CameraDep = Annotated[CameraHandle, Depends(get_camera)]
SnapshotDep = Annotated[Snapshot, Depends(get_snapshot)]
WebRtcDep = Annotated[WebRtcManager, Depends(get_webrtc_manager)]
router = APIRouter(prefix="/api", responses=error_responses(401, 403))


@router.get("/status", tags=["run"])
def status(controller: ControllerDep) -> Status:
    """All of a run at one moment."""
    return controller.status()


@router.get("/settings", tags=["settings"])
def settings(controller: ControllerDep) -> Settings:
    """What can be changed, as it is now."""
    return controller.status().settings


@router.patch("/settings", tags=["settings"], responses=error_responses(400, 409, 422))
async def change(body: Change, controller: ControllerDep) -> Settings:
    """Changes settings, and answers when the change can be seen: after seconds, where it has to be compiled."""
    requested = body.model_dump(exclude_none=True)
    if "target" in requested:
        requested["target"] = tuple(requested["target"])
    if not requested:
        return controller.status().settings
    _refuse_code(controller, requested.get("method"), requested.get("target", ()))
    return await run_sync(functools.partial(controller.change, **requested), abandon_on_cancel=True)


@router.get("/methods", tags=["settings"])
def methods(controller: ControllerDep) -> tuple[str, ...]:
    """Names of the methods."""
    return controller.methods()


@router.get("/layers", tags=["settings"], responses=error_responses(409))
async def layers(controller: ControllerDep) -> tuple[str, ...]:
    """Names of the layers that can be explained, from the input on; takes seconds the first time."""
    return await run_sync(controller.layers, abandon_on_cancel=True)


@router.get("/labels", tags=["settings"])
def labels(controller: ControllerDep) -> tuple[str, ...]:
    """Names of the model's classes; none until it is loaded."""
    return controller.labels()


@router.get("/colormaps", tags=["settings"])
def colormaps() -> tuple[str, ...]:
    """Names of the colour maps."""
    return COLORMAPS


@router.get("/cameras", tags=["cameras"])
def cameras(controller: ControllerDep) -> tuple[CameraStatus, ...]:
    """All cameras."""
    return controller.status().cameras


@router.get("/cameras/{name}", tags=["cameras"], responses=error_responses(404, 422))
def camera(camera: CameraDep, controller: ControllerDep) -> CameraStatus:
    """One camera."""
    return _status_of(camera, controller)


@router.patch("/cameras/{name}", tags=["cameras"], responses=error_responses(400, 404, 409, 422))
def pause(camera: CameraDep, body: Pause, controller: ControllerDep) -> CameraStatus:
    """Freezes what a camera shows, or lets it go on."""
    camera.pause(body.paused)
    return _status_of(camera, controller)


@router.post(
    "/cameras/{name}/snapshots", tags=["cameras"], status_code=201, responses=error_responses(404, 409, 422, 503)
)
def snapshot(camera: CameraDep, store: SnapshotStoreDep) -> SnapshotCreated:
    """Keeps what a camera shows now."""
    if (taken := camera.snapshot()) is None:
        raise fastapi.HTTPException(503, f"camera {camera.name!r} has no picture yet")
    name = store.add(taken)
    return SnapshotCreated(
        id=name,
        image=f"/api/snapshots/{name}.png",
        map=None if taken.maps is None else f"/api/snapshots/{name}.npy",
        status=taken.status,
    )


@router.post("/cameras/{name}/webrtc", tags=["cameras"], responses=error_responses(400, 404, 409, 422))
async def webrtc(camera: CameraDep, offer: Offer, controller: ControllerDep, webrtc_manager: WebRtcDep) -> Answer:
    """Sends a camera's pictures by WebRTC until the connection ends; at most eight at a time, all cameras together."""
    if not controller.status().webrtc:
        raise StreamcamError("WebRTC needs aiortc", hint="pip install 'streamcam[webrtc]'")
    return Answer(sdp=await webrtc_manager.answer(camera.frames, offer.sdp), type="answer")


@router.get(
    "/snapshots/{id}.png",
    tags=["cameras"],
    response_class=Response,
    responses=error_responses(404, 422) | {200: {"content": {"image/png": {}}}},
)
def snapshot_image(snapshot: SnapshotDep) -> Response:
    """The annotated picture of a snapshot."""
    return Response(snapshot.png, media_type="image/png")


@router.get(
    "/snapshots/{id}.npy",
    tags=["cameras"],
    response_class=Response,
    responses=error_responses(404, 422) | {200: {"content": {"application/octet-stream": {}}}},
)
def snapshot_map(snapshot: SnapshotDep) -> Response:
    """The raw evidence of a snapshot, float32 ``(targets, h, w)``."""
    if (content := to_npy(snapshot)) is None:
        raise fastapi.HTTPException(404, "this snapshot has no map")
    return Response(content, media_type="application/octet-stream")


def _status_of(camera: CameraHandle, controller: Controller) -> CameraStatus:
    return next(one for one in controller.status().cameras if one.name == camera.name)


def _refuse_code(controller: Controller, method: str | None, targets: tuple[str, ...]) -> None:
    """A function's name would be imported and run: whoever starts the run may name one, a visitor may not.

    Raises:
        StreamcamError: one that the run does not have already.
    """
    known = controller.status().settings
    asked: list[tuple[str, type[StreamcamError]]] = [(target, TargetError) for target in targets]
    if method is not None:
        asked.append((method, MethodError))
    for text, kind in asked:
        if is_function_path(text.strip()) and text not in (known.method, *known.target, *controller.labels()):
            raise kind(f"{text!r} is a function", hint="name it on the command line; it cannot be named from the page")
