"""The page as an application: what is at which address."""

from __future__ import annotations

import asyncio
from pathlib import Path

import fastapi
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.routing import Match
from starlette.types import ASGIApp

from ..errors import StreamcamError
from ..live.status import Controller
from . import api
from .api import CameraDep, ControllerDep
from .auth import AuthMiddleware
from .metrics import make_registry
from .mjpeg import MjpegResponse, next_jpeg
from .schemas import ErrorDetail, Health, Readiness, error_responses
from .snapshots import SnapshotStore
from .webrtc import WebRtcManager

_STATIC = Path(__file__).parent / "static"
_FIRST_FRAME_TIMEOUT_SECONDS = 5.0
"""Seconds to wait for a camera's first picture."""


def make_app(controller: Controller, token: str, stopping: asyncio.Event, webrtc_manager: WebRtcManager) -> ASGIApp:
    """The page, its API, its figures and its health.

    Args:
        controller: what is shown and changed.
        token: what visitors must bring; empty where they come from this machine only.
        stopping: set when the page ends, so that its streams do.
        webrtc_manager: keeps those that watch by WebRTC.
    """
    app = FastAPI(
        title="streamcam",
        summary="Where a vision model looks, in every frame of live cameras.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.controller = controller
    app.state.snapshots = SnapshotStore()
    app.state.registry = make_registry(controller)
    app.state.stopping = stopping
    app.state.webrtc_manager = webrtc_manager
    app.include_router(router)
    app.include_router(api.router)
    app.mount("/static", StaticFiles(directory=_STATIC))
    app.add_exception_handler(405, _handle_wrong_method)
    app.add_exception_handler(StreamcamError, _handle_streamcam_error)
    app.add_exception_handler(RequestValidationError, _handle_validation_error)
    app.add_exception_handler(Exception, _handle_exception)
    return AuthMiddleware(app, token)


router = APIRouter()


@router.get("/healthz", tags=["health"])
async def healthz() -> Health:
    """Whether it answers."""
    return Health(alive=True)


@router.get("/readyz", tags=["health"], responses=error_responses(401, 403) | {503: {"model": Readiness}})
def readyz(response: Response, controller: ControllerDep) -> Readiness:
    """Whether the model is ready and all cameras that are not paused or ended show pictures."""
    reasons = _unready_reasons(controller)
    response.status_code = 503 if reasons else 200
    return Readiness(ready=not reasons, reasons=reasons)


@router.get(
    "/metrics",
    tags=["health"],
    response_class=Response,
    responses=error_responses(401, 403) | {200: {"content": {"text/plain": {}}}},
)
def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)


@router.get(
    "/cameras/{name}/picture.jpg",
    tags=["cameras"],
    response_class=Response,
    responses=error_responses(401, 403, 404, 422, 503) | {200: {"content": {"image/jpeg": {}}}},
)
async def image(camera: CameraDep) -> Response:
    """The next picture of a camera; of one that is paused, lost or ended the last one."""
    jpeg = await next_jpeg(camera, _FIRST_FRAME_TIMEOUT_SECONDS)
    if jpeg is None:
        raise fastapi.HTTPException(503, f"camera {camera.name!r} has no picture yet")
    return Response(jpeg, media_type="image/jpeg")


@router.get("/cameras/{name}/stream.mjpg", include_in_schema=False)
async def stream(camera: CameraDep, request: Request) -> Response:
    """The pictures of a camera, as Motion JPEG."""
    return MjpegResponse(camera, request.app.state.stopping)


@router.get("/", include_in_schema=False)
async def index() -> Response:
    """The page."""
    return FileResponse(_STATIC / "index.html")


async def _handle_wrong_method(request: Request, error: Exception) -> Response:
    """Names all methods that an address takes; by itself Starlette names those of the first route that is found."""
    methods: set[str] = set()
    for route in (*router.routes, *api.router.routes):
        if isinstance(route, APIRoute) and route.matches(request.scope)[0] is not Match.NONE:
            methods.update(route.methods or ())
    response = _error_response(405, "this address takes other methods")
    response.headers["Allow"] = ", ".join(sorted(methods))
    return response


async def _handle_streamcam_error(request: Request, error: Exception) -> Response:
    return _error_response(409, str(error))


async def _handle_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or first["loc"][0]
    return _error_response(422, f"{where}: {first['msg']}")


async def _handle_exception(request: Request, error: Exception) -> Response:
    return _error_response(500, f"this should not have happened: {type(error).__name__}: {error}")


def _error_response(status: int, detail: str) -> Response:
    # JSON may hold halves of characters, which no answer can.
    line = " ".join(detail.encode(errors="replace").decode().split())
    return JSONResponse(ErrorDetail(detail=line).model_dump(), status_code=status)


def _unready_reasons(controller: Controller) -> tuple[str, ...]:
    """What keeps the run from being ready, a line each."""
    status = controller.status()
    reasons = [] if status.ready else ["the model is being compiled"]
    for camera in status.cameras:
        if camera.state in ("opening", "lost"):
            reasons.append(
                f"camera {camera.name!r} is {camera.state}" + (camera.last_error and f": {camera.last_error}")
            )
        elif camera.state == "live" and not camera.fps > 0:
            reasons.append(f"camera {camera.name!r} shows nothing new")
    return tuple(reasons)
