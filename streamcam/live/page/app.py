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

from ...errors import StreamcamError
from ..status import Studio
from . import api
from .access import Access
from .answers import PROBLEMS, Health, Problem, Readiness
from .api import Camera, Run
from .metrics import registry_of
from .peers import Peers
from .snapshots import Snapshots
from .watching import Stream, one_picture

_STATIC = Path(__file__).parent / "static"
_PATIENCE = 5.0
"""Seconds to wait for a camera's first picture."""


def make_app(studio: Studio, token: str, leaving: asyncio.Event, peers: Peers) -> ASGIApp:
    """The page, its API, its figures and its health.

    Args:
        studio: what is shown and changed.
        token: what visitors must bring; empty where they come from this machine only.
        leaving: set when the page ends, so that its streams do.
        peers: keeps those that watch by WebRTC.
    """
    app = FastAPI(
        title="streamcam",
        summary="Where a vision model looks, in every frame of live cameras.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.studio = studio
    app.state.snapshots = Snapshots()
    app.state.registry = registry_of(studio)
    app.state.leaving = leaving
    app.state.peers = peers
    app.include_router(router)
    app.include_router(api.router)
    app.mount("/static", StaticFiles(directory=_STATIC))
    app.add_exception_handler(405, _other_method)
    app.add_exception_handler(StreamcamError, _refused)
    app.add_exception_handler(RequestValidationError, _misshapen)
    app.add_exception_handler(Exception, _failed)
    return Access(app, token)


router = APIRouter()


@router.get("/healthz", tags=["health"])
async def healthz() -> Health:
    """Whether it answers."""
    return Health(alive=True)


@router.get("/readyz", tags=["health"], responses=PROBLEMS(401, 403) | {503: {"model": Readiness}})
def readyz(response: Response, studio: Run) -> Readiness:
    """Whether the model is ready and all cameras that are not paused or ended show pictures."""
    reasons = _missing(studio)
    response.status_code = 503 if reasons else 200
    return Readiness(ready=not reasons, reasons=reasons)


@router.get(
    "/metrics",
    tags=["health"],
    response_class=Response,
    responses=PROBLEMS(401, 403) | {200: {"content": {"text/plain": {}}}},
)
def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)


@router.get(
    "/cameras/{name}/picture.jpg",
    tags=["cameras"],
    response_class=Response,
    responses=PROBLEMS(401, 403, 404, 422, 503) | {200: {"content": {"image/jpeg": {}}}},
)
async def picture(camera: Camera) -> Response:
    """The next picture of a camera; of one that is paused, lost or ended the last one."""
    found = await one_picture(camera, _PATIENCE)
    if found is None:
        raise fastapi.HTTPException(503, f"camera {camera.name!r} has no picture yet")
    return Response(found, media_type="image/jpeg")


@router.get("/cameras/{name}/stream.mjpg", include_in_schema=False)
async def stream(camera: Camera, request: Request) -> Response:
    """The pictures of a camera, as Motion JPEG."""
    return Stream(camera, request.app.state.leaving)


@router.get("/", include_in_schema=False)
async def index() -> Response:
    """The page."""
    return FileResponse(_STATIC / "index.html")


async def _other_method(request: Request, error: Exception) -> Response:
    """Names all methods that an address takes; by itself Starlette names those of the first route that is found."""
    methods: set[str] = set()
    for route in (*router.routes, *api.router.routes):
        if isinstance(route, APIRoute) and route.matches(request.scope)[0] is not Match.NONE:
            methods.update(route.methods or ())
    answer = _told(405, "this address takes other methods")
    answer.headers["Allow"] = ", ".join(sorted(methods))
    return answer


async def _refused(request: Request, error: Exception) -> Response:
    return _told(409, str(error))


async def _misshapen(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or first["loc"][0]
    return _told(422, f"{where}: {first['msg']}")


async def _failed(request: Request, error: Exception) -> Response:
    return _told(500, f"this should not have happened: {type(error).__name__}: {error}")


def _told(status: int, detail: str) -> Response:
    # JSON may hold halves of characters, which no answer can.
    whole = " ".join(detail.encode(errors="replace").decode().split())
    return JSONResponse(Problem(detail=whole).model_dump(), status_code=status)


def _missing(studio: Studio) -> tuple[str, ...]:
    """What keeps the run from being ready, a line each."""
    status = studio.status()
    reasons = [] if status.ready else ["the model is being compiled"]
    for camera in status.cameras:
        if camera.state in ("opening", "lost"):
            reasons.append(f"camera {camera.name!r} is {camera.state}" + (camera.trouble and f": {camera.trouble}"))
        elif camera.state == "live" and not camera.fps > 0:
            reasons.append(f"camera {camera.name!r} shows nothing new")
    return tuple(reasons)
