"""Routes for monitoring: liveness, readiness and Prometheus metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ..live.status import Controller
from .dependencies import ControllerDep
from .schemas import Health, Readiness, error_responses

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> Health:
    """Return that the server responds."""
    return Health(alive=True)


@router.get("/readyz", responses=error_responses(401, 403) | {503: {"model": Readiness}})
def readyz(response: Response, controller: ControllerDep) -> Readiness:
    """Return whether the run is ready.

    It is ready if the model is, and every camera that is not paused or ended shows frames.
    """
    reasons = _unready_reasons(controller)
    response.status_code = 503 if reasons else 200
    return Readiness(ready=not reasons, reasons=reasons)


@router.get(
    "/metrics",
    response_class=Response,
    responses=error_responses(401, 403) | {200: {"content": {"text/plain": {}}}},
)
def metrics(request: Request) -> Response:
    """Return the metrics of the run in Prometheus' text format."""
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)


def _unready_reasons(controller: Controller) -> tuple[str, ...]:
    """Return why the run is not ready, one line a reason."""
    status = controller.status()
    reasons = [] if status.ready else ["the model is compiling"]
    for camera in status.cameras:
        if camera.state in ("opening", "lost"):
            reasons.append(
                f"camera {camera.name!r} is {camera.state}" + (camera.last_error and f": {camera.last_error}")
            )
        elif camera.state == "live" and not camera.fps > 0:
            reasons.append(f"camera {camera.name!r} shows no new frames")
    return tuple(reasons)
