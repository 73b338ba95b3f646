"""The FastAPI application: routers, page files and error responses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp

from ..errors import StreamcamError
from ..live.status import Controller
from . import health, live
from .auth import AuthMiddleware
from .history import HistoryRecorder
from .limits import OUT_OF_DESCRIPTORS, BodyLimitMiddleware
from .metrics import make_registry
from .proxy import ForwardedPrefixMiddleware
from .schemas import ErrorDetail
from .snapshots import SnapshotStore
from .webrtc import WebRtcManager

_STATIC = Path(__file__).parent / "static"
_ROUTERS = (live.router, health.router)


def make_app(controller: Controller, token: str, stopping: asyncio.Event, webrtc_manager: WebRtcManager) -> ASGIApp:
    """Make the application that serves the page, its API, metrics and health.

    Args:
        controller: the run to show and change.
        token: required of every visitor; empty on addresses of this machine only.
        stopping: set at shutdown, which ends the MJPEG streams.
        webrtc_manager: holds the WebRTC sessions.
    """
    app = FastAPI(
        title="streamcam",
        summary="Live heatmaps that explain a vision model.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_record_history,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.controller = controller
    app.state.history = HistoryRecorder(controller)
    app.state.snapshots = SnapshotStore()
    app.state.registry = make_registry(controller)
    app.state.stopping = stopping
    app.state.webrtc_manager = webrtc_manager
    for router in _ROUTERS:
        app.include_router(router)
    app.add_api_route("/", _index, include_in_schema=False)
    app.add_api_route("/docs", _docs, include_in_schema=False)
    app.add_api_route("/api", _api, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=_STATIC))
    app.add_exception_handler(404, _handle_not_found)
    app.add_exception_handler(405, _handle_wrong_method)
    app.add_exception_handler(StreamcamError, _handle_streamcam_error)
    app.add_exception_handler(RequestValidationError, _handle_validation_error)
    app.add_exception_handler(Exception, _handle_exception)
    return AuthMiddleware(BodyLimitMiddleware(ForwardedPrefixMiddleware(app)), token)


@contextlib.asynccontextmanager
async def _record_history(app: FastAPI) -> AsyncIterator[None]:
    """Record the history of the cameras while the server runs."""
    recording = asyncio.create_task(app.state.history.run())
    try:
        yield
    finally:
        recording.cancel()


async def _index() -> Response:
    """Return the page."""
    return FileResponse(_STATIC / "index.html")


async def _docs() -> Response:
    """Return a page that shows the description of the API."""
    return FileResponse(_STATIC / "docs.html")


async def _api(request: Request) -> Response:
    """Return the addresses of the API with their summaries."""
    root = request.scope.get("root_path", "")
    operations = {
        f"{method.upper()} {root}{path}": operation.get("description", "").partition("\n")[0]
        for path, methods in request.app.openapi()["paths"].items()
        for method, operation in methods.items()
    }
    return JSONResponse({"description": f"{root}/api/openapi.json", "page": f"{root}/docs", "operations": operations})


async def _handle_not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.detail == HTTPStatus(404).phrase:
        return _error_response(404, f"unknown path {request.url.path!r}; /api lists the paths")
    return _error_response(404, error.detail)


async def _handle_wrong_method(request: Request, error: Exception) -> Response:
    """List all methods of the path; Starlette lists only those of the first matching route."""
    methods: set[str] = set()
    for router in _ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.matches(request.scope)[0] is not Match.NONE:
                methods.update(route.methods or ())
    allowed = sorted(methods) or ["GET"]  # the page and its files
    response = _error_response(405, f"invalid method {request.method}; expected {' or '.join(allowed)}")
    response.headers["Allow"] = ", ".join(allowed)
    return response


async def _handle_streamcam_error(request: Request, error: Exception) -> Response:
    return _error_response(409, str(error))


async def _handle_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or first["loc"][0]
    return _error_response(422, f"{where}: {first['msg']}")


async def _handle_exception(request: Request, error: Exception) -> Response:
    if isinstance(error, OSError) and error.errno in OUT_OF_DESCRIPTORS:
        return _error_response(503, "too many open files; try again in a moment")
    return _error_response(500, f"internal error: {type(error).__name__}: {error}")


def _error_response(status: int, detail: str) -> Response:
    # JSON strings may hold lone surrogates, which UTF-8 cannot.
    line = " ".join(detail.encode(errors="replace").decode().split())
    return JSONResponse(ErrorDetail(detail=line).model_dump(), status_code=status)
