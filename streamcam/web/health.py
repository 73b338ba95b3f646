"""Routes for monitoring: liveness, readiness and Prometheus metrics."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ..live.status import CameraStatus
from .dependencies import ControllerDep, get_camera
from .schemas import Health, Readiness, error_responses

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> Health:
    """Return that the server responds."""
    return Health(alive=True)


@router.get("/readyz", responses=error_responses(401, 403, 404, 422) | {503: {"model": Readiness}})
def readyz(
    response: Response,
    controller: ControllerDep,
    cameras: Annotated[Literal["any", "all"], Query(description="How many cameras must be ready.")] = "any",
    camera: Annotated[str | None, Query(description="Name of the only camera that counts.")] = None,
) -> Readiness:
    """Return whether the run is ready: its model is compiled, and a camera is ready.

    A camera is ready while it shows new frames, or is paused. With ``cameras=all`` every camera must be ready, with
    ``camera=NAME`` that one.
    """
    if camera is not None:
        get_camera(camera, controller)
    status = controller.status()
    counted = [one for one in status.cameras if camera in (None, one.name)]
    reasons = [reason for one in counted if (reason := _unready_reason(one))]
    enough = not reasons or (cameras == "any" and len(reasons) < len(counted))
    if not status.ready:
        reasons.insert(0, "the model is compiling")
    ready = status.ready and enough
    response.status_code = 200 if ready else 503
    return Readiness(ready=ready, reasons=tuple(reasons))


@router.get(
    "/metrics",
    response_class=Response,
    responses=error_responses(401, 403) | {200: {"content": {"text/plain": {}}}},
)
def metrics(request: Request) -> Response:
    """Return the metrics of the run in Prometheus' text format."""
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)


def _unready_reason(camera: CameraStatus) -> str:
    """Return why a camera is not ready; empty if it is."""
    error = camera.last_error and f": {camera.last_error}"
    if camera.state in ("opening", "lost"):
        return f"camera {camera.name!r} is {camera.state}{error}"
    if camera.state == "ended":
        return f"camera {camera.name!r} was given up{error}" if error else f"camera {camera.name!r} has ended"
    if camera.state == "live" and (camera.stalled or not camera.frames_shown):
        return f"camera {camera.name!r} shows no new frames"
    return ""
