"""Request and response bodies of the API, besides those of `streamcam.live.status`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..live.status import CameraStatus
from ..options import CaptionPosition, Colormap

_Name = Annotated[str, Field(min_length=1, max_length=200)]
_ERROR_DESCRIPTIONS = {
    400: "The body is not JSON.",
    401: "The token is missing or wrong.",
    403: "The Host or Origin header is not this page's.",
    404: "Not found.",
    408: "The body did not arrive in time.",
    409: "The run cannot do this.",
    413: "The body is too large.",
    422: "The request does not fit this schema.",
    503: "There is no frame yet.",
}


class ErrorDetail(BaseModel):
    """The error in one line."""

    detail: str


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the error responses of a route, for the API's schema."""
    return {status: {"model": ErrorDetail, "description": _ERROR_DESCRIPTIONS[status]} for status in statuses}


class Health(BaseModel):
    """The server responds."""

    alive: bool


class Readiness(BaseModel):
    """Whether the run is ready.

    Attributes:
        ready: True if the model is compiled and enough cameras are ready.
        reasons: one line for the model and each camera that is not ready, also if the others suffice.
    """

    ready: bool
    reasons: tuple[str, ...]


class _RequestModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Change(_RequestModel):
    """Settings to change; absent or null ones stay as they are."""

    method: _Name | None = None
    layer: _Name | None = None
    target: Annotated[list[_Name], Field(min_length=1, max_length=16)] | None = None
    alpha: Annotated[float, Field(ge=0, le=1)] | None = None
    colormap: Colormap | None = None
    caption: bool | None = None
    caption_position: CaptionPosition | None = None


class Pause(_RequestModel):
    """Freeze the shown frame, or continue."""

    paused: bool


class Offer(_RequestModel):
    """A browser's offer to receive one video in VP8 or H.264.

    It contains all ICE credentials (no trickle).
    """

    sdp: Annotated[str, Field(min_length=1, max_length=100_000)]
    type: Literal["offer"]


class Answer(BaseModel):
    """The answer to an `Offer`, as SDP."""

    sdp: str
    type: Literal["answer"]


class SnapshotCreated(BaseModel):
    """A new snapshot.

    Attributes:
        id: name of the snapshot; the last 16 are kept.
        image: path of the annotated frame, PNG; with the path of a proxy that sends ``X-Forwarded-Prefix``.
        map: path of the raw attributions, NumPy, float32 ``(targets, h, w)``; null if the frame has none.
        status: of the camera at that moment.
    """

    id: str
    image: str
    map: str | None
    status: CameraStatus


class HistorySample(BaseModel):
    """The most probable classes at one moment.

    Attributes:
        seconds_ago: age of the sample.
        classes: indices into the labels, the most probable one first.
        probabilities: 0–1, one a class.
    """

    seconds_ago: float
    classes: tuple[int, ...]
    probabilities: tuple[float, ...]


class History(BaseModel):
    """A camera's classes over ten minutes, one sample a second.

    Seconds without new frames have no sample.

    Attributes:
        labels: names of the classes.
        samples: the oldest first.
    """

    labels: tuple[str, ...]
    samples: tuple[HistorySample, ...]
