"""What the API is asked with and answers, beside the values of `streamcam.live.status`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..live.status import CameraStatus
from ..options import Colormap

_Name = Annotated[str, Field(min_length=1, max_length=200)]
_ERROR_DESCRIPTIONS = {
    400: "What was sent is no JSON.",
    401: "The token is missing or wrong.",
    403: "Asked from a page, or under a name, that is not this one's.",
    404: "There is no such thing.",
    409: "The run cannot do that.",
    422: "What was asked does not fit this description.",
    503: "There is nothing to answer with yet.",
}


class ErrorDetail(BaseModel):
    """Why not, in one line."""

    detail: str


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What may be answered instead, for the API's description."""
    return {status: {"model": ErrorDetail, "description": _ERROR_DESCRIPTIONS[status]} for status in statuses}


class Health(BaseModel):
    """That it answers."""

    alive: bool


class Readiness(BaseModel):
    """Whether pictures are shown, and what keeps them from it, a line each."""

    ready: bool
    reasons: tuple[str, ...]


class _RequestModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Change(_RequestModel):
    """Settings to change; what is absent or null stays as it is."""

    method: _Name | None = None
    layer: _Name | None = None
    target: Annotated[list[_Name], Field(min_length=1, max_length=16)] | None = None
    alpha: Annotated[float, Field(ge=0, le=1)] | None = None
    colormap: Colormap | None = None
    caption: bool | None = None


class Pause(_RequestModel):
    """Whether what a camera shows is to be frozen."""

    paused: bool


class Offer(_RequestModel):
    """What a browser offers: one video to receive, in VP8 or H.264, with all of its ICE credentials (no trickle)."""

    sdp: Annotated[str, Field(min_length=1, max_length=100_000)]
    type: Literal["offer"]


class Answer(BaseModel):
    """What it is answered: where the video comes from."""

    sdp: str
    type: Literal["answer"]


class SnapshotCreated(BaseModel):
    """A snapshot.

    Attributes:
        id: its name; the last 16 are kept.
        image: path of the annotated picture, PNG.
        map: path of the raw evidence, NumPy, float32 ``(targets, h, w)``; null where the picture has none.
        status: of the camera at that moment.
    """

    id: str
    image: str
    map: str | None
    status: CameraStatus
