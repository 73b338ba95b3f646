"""Frames that stay on a graphics card from the decoder (NVDEC) to the encoder (NVENC).

They are scaled to the model's input there, and drawn on. Only the model's view of a frame, a hundredth of it, and the
maps pass through the processor's memory. `why_not` says whether that can be, and `taker.py`, `scaler.py` and
`painter.py` are the three places of the road where it makes a difference.

What is drawn is what the processor draws, by the same tables; whether a machine's card and drivers really do it is
tried out once, in a process of its own (`check.py`).
"""

from __future__ import annotations

from ..config import Job
from ..cuda import pretended
from ..engine.store import Store
from ..sinks.codecs import CONTAINERS, ON_A_CARD, why_no_card
from ..sources.opening import why_no_card as why_no_decoder

__all__ = ["examine", "why_not"]

_FIRST = ("auto", "gpu", "gpu:0")


def why_not(job: Job) -> str:
    """Why a job's frames cannot stay on the card; empty where they can, if the source's pictures allow it.

    May try the card out, which takes some seconds the first time.
    """
    suffix = job.sink.path.suffix.lower()
    if job.time.every == "auto":
        return "--every auto looks at all of each picture"
    if job.time.between != "hold":
        return f"--between {job.time.between} looks at the pictures too"
    if suffix not in CONTAINERS:
        return "stills are made by the processor"
    if pretended():
        return ""
    if job.explain.device.lower() not in _FIRST:
        return "they are decoded on gpu:0, and the model is not only there"
    codec = job.sink.codec or CONTAINERS[suffix][0]
    if codec not in ON_A_CARD:
        return f"cards do not encode {codec}"
    return why_no_decoder() or why_no_card(ON_A_CARD[codec]) or _tried(Store())


def examine() -> dict[str, str]:
    """Whether frames can stay on a card, for ``streamcam doctor``; tries it out anew."""
    reason = why_no_decoder() or why_no_card(ON_A_CARD["h264"]) or _tried(Store(), again=True)
    return {"frames stay on a card": f"no: {reason}" if reason else "yes, from nvdec to nvenc"}


def _tried(store: Store, *, again: bool = False) -> str:
    """What came of trying it, kept with whatever it depends on."""
    from .check import surroundings, try_out

    key = store.key("card", *surroundings())
    found = None if again else store.finding(key)
    if found is None:
        found = try_out()
        store.keep_finding(key, found)
    return found
