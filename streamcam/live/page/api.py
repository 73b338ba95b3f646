"""What programs ask and change, in JSON: a translation of `streamcam.live.status.Studio`."""

from __future__ import annotations

import functools
from typing import Annotated

import fastapi
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from ...config import COLORMAPS
from ...errors import MethodError, StreamcamError, TargetError
from ...models.foreign import is_function_path
from ..status import CameraStatus, Monitor, Settings, Snapshot, Status, Studio
from .answers import PROBLEMS, Answer, Change, Offer, Pause, Taken
from .peers import Peers
from .snapshots import Snapshots, npy_of


def the_run(request: Request) -> Studio:
    """The run that an application shows."""
    studio: Studio = request.app.state.studio
    return studio


Run = Annotated[Studio, Depends(the_run)]


def the_camera(name: str, studio: Run) -> Monitor:
    """The camera that an address names."""
    if (found := studio.monitors.get(name)) is None:
        raise fastapi.HTTPException(404, f"there is no camera {name!r}; there are {', '.join(studio.monitors)}")
    return found


def the_snapshots(request: Request) -> Snapshots:
    """Those that were taken from this page."""
    snapshots: Snapshots = request.app.state.snapshots
    return snapshots


Taking = Annotated[Snapshots, Depends(the_snapshots)]


def the_peers(request: Request) -> Peers:
    """Those that watch by WebRTC."""
    peers: Peers = request.app.state.peers
    return peers


def the_snapshot(id: str, snapshots: Taking) -> Snapshot:  # noqa: A002
    """The snapshot that an address names."""
    if (found := snapshots.get(id)) is None:
        raise fastapi.HTTPException(404, f"there is no snapshot {id!r} (any more)")
    return found


Camera = Annotated[Monitor, Depends(the_camera)]
Kept = Annotated[Snapshot, Depends(the_snapshot)]
Watching = Annotated[Peers, Depends(the_peers)]
router = APIRouter(prefix="/api", responses=PROBLEMS(401, 403))


@router.get("/status", tags=["run"])
def status(studio: Run) -> Status:
    """All of a run at one moment."""
    return studio.status()


@router.get("/settings", tags=["settings"])
def settings(studio: Run) -> Settings:
    """What can be changed, as it is now."""
    return studio.status().settings


@router.patch("/settings", tags=["settings"], responses=PROBLEMS(400, 409, 422))
async def change(wanted: Change, studio: Run) -> Settings:
    """Changes settings, and answers when the change can be seen: after seconds, where it has to be compiled."""
    asked = wanted.model_dump(exclude_none=True)
    if "target" in asked:
        asked["target"] = tuple(asked["target"])
    if not asked:
        return studio.status().settings
    _refuse_code(studio, asked.get("method"), asked.get("target", ()))
    return await run_sync(functools.partial(studio.change, **asked), abandon_on_cancel=True)


@router.get("/methods", tags=["settings"])
def methods(studio: Run) -> tuple[str, ...]:
    """Names of the methods."""
    return studio.methods()


@router.get("/layers", tags=["settings"], responses=PROBLEMS(409))
async def layers(studio: Run) -> tuple[str, ...]:
    """Names of the layers that can be explained, from the input on; takes seconds the first time."""
    return await run_sync(studio.layers, abandon_on_cancel=True)


@router.get("/labels", tags=["settings"])
def labels(studio: Run) -> tuple[str, ...]:
    """Names of the model's classes; none until it is loaded."""
    return studio.labels()


@router.get("/colormaps", tags=["settings"])
def colormaps() -> tuple[str, ...]:
    """Names of the colour maps."""
    return COLORMAPS


@router.get("/cameras", tags=["cameras"])
def cameras(studio: Run) -> tuple[CameraStatus, ...]:
    """All cameras."""
    return studio.status().cameras


@router.get("/cameras/{name}", tags=["cameras"], responses=PROBLEMS(404, 422))
def camera(camera: Camera, studio: Run) -> CameraStatus:
    """One camera."""
    return _status_of(camera, studio)


@router.patch("/cameras/{name}", tags=["cameras"], responses=PROBLEMS(400, 404, 409, 422))
def pause(camera: Camera, wanted: Pause, studio: Run) -> CameraStatus:
    """Freezes what a camera shows, or lets it go on."""
    camera.pause(wanted.paused)
    return _status_of(camera, studio)


@router.post("/cameras/{name}/snapshots", tags=["cameras"], status_code=201, responses=PROBLEMS(404, 409, 422, 503))
def snapshot(camera: Camera, snapshots: Taking) -> Taken:
    """Keeps what a camera shows now."""
    if (taken := camera.snapshot()) is None:
        raise fastapi.HTTPException(503, f"camera {camera.name!r} has no picture yet")
    name = snapshots.keep(taken)
    return Taken(
        id=name,
        picture=f"/api/snapshots/{name}.png",
        map=None if taken.maps is None else f"/api/snapshots/{name}.npy",
        status=taken.status,
    )


@router.post("/cameras/{name}/webrtc", tags=["cameras"], responses=PROBLEMS(400, 404, 409, 422))
async def webrtc(camera: Camera, offer: Offer, studio: Run, peers: Watching) -> Answer:
    """Sends a camera's pictures by WebRTC until the connection ends; at most eight at a time, all cameras together."""
    if not studio.status().webrtc:
        raise StreamcamError("WebRTC needs aiortc", do="pip install 'streamcam[webrtc]'")
    return Answer(sdp=await peers.answer(camera.pictures, offer.sdp), type="answer")


@router.get(
    "/snapshots/{id}.png",
    tags=["cameras"],
    response_class=Response,
    responses=PROBLEMS(404, 422) | {200: {"content": {"image/png": {}}}},
)
def snapshot_picture(snapshot: Kept) -> Response:
    """The annotated picture of a snapshot."""
    return Response(snapshot.png, media_type="image/png")


@router.get(
    "/snapshots/{id}.npy",
    tags=["cameras"],
    response_class=Response,
    responses=PROBLEMS(404, 422) | {200: {"content": {"application/octet-stream": {}}}},
)
def snapshot_map(snapshot: Kept) -> Response:
    """The raw evidence of a snapshot, float32 ``(targets, h, w)``."""
    if (content := npy_of(snapshot)) is None:
        raise fastapi.HTTPException(404, "this snapshot has no map")
    return Response(content, media_type="application/octet-stream")


def _status_of(camera: Monitor, studio: Studio) -> CameraStatus:
    return next(one for one in studio.status().cameras if one.name == camera.name)


def _refuse_code(studio: Studio, method: str | None, targets: tuple[str, ...]) -> None:
    """A function's name would be imported and run: whoever starts the run may name one, a visitor may not.

    Raises:
        StreamcamError: one that the run does not have already.
    """
    known = studio.status().settings
    asked: list[tuple[str, type[StreamcamError]]] = [(target, TargetError) for target in targets]
    if method is not None:
        asked.append((method, MethodError))
    for text, kind in asked:
        if is_function_path(text.strip()) and text not in (known.method, *known.target, *studio.labels()):
            raise kind(f"{text!r} is a function", do="name it on the command line; it cannot be named from the page")
