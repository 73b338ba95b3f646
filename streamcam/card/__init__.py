"""Frames that stay on a graphics card from the decoder (NVDEC) to the encoder (NVENC).

They are scaled to the model's input there, and drawn on. Only the model's view of a frame, a hundredth of it, and the
maps pass through the processor's memory. `why_not` says whether that can be, and `taker.py`, `scaler.py` and
`painter.py` are the three places of the road where it makes a difference.

What is drawn is what the processor draws, by the same tables; whether a machine's card and drivers really do it is
tried out once, in a process of its own (`check.py`).
"""

from __future__ import annotations

from collections.abc import Callable

from ..config import Job
from ..cuda import pretended
from ..sinks.codecs import CONTAINERS, ON_A_CARD, why_no_card
from ..sources.opening import why_no_card as why_no_decoder

__all__ = ["examine", "why_not"]


def why_not(job: Job, say: Callable[[str], None] = lambda line: None) -> str:
    """Why a job's frames cannot stay on the card; empty where they can, if the source's pictures allow it.

    May try the card out, which takes some seconds the first time.

    Args:
        job: what is to be done.
        say: told when it does.
    """
    suffix = job.sink.path.suffix.lower()
    if job.time.every == "auto":
        return "--every auto looks at all of each picture"
    if job.time.between != "hold":
        return f"--between {job.time.between} looks at the pictures too"
    if suffix not in CONTAINERS:
        return "stills are made by the processor"
    codec = job.sink.codec or CONTAINERS[suffix][0]
    if not pretended():
        if codec not in ON_A_CARD:
            return f"cards do not encode {codec}"
        if reason := why_no_decoder() or why_no_card(ON_A_CARD[codec]):
            return reason
    from ..engine.devices import choose_devices

    devices = choose_devices(job.explain.device)
    if pretended():
        return "" if devices == ("cpu",) else "the model is on several devices"
    if devices != ("gpu:0",):
        return "they are decoded on gpu:0, and the model is not there alone"
    if reason := _tried(say):
        return f"{reason} (streamcam doctor tries again)"
    return ""


def examine() -> dict[str, str]:
    """Whether frames can stay on a card, for ``streamcam doctor``; tries it out anew."""
    reason = why_no_decoder() or why_no_card(ON_A_CARD["h264"]) or _tried(again=True)
    return {"frames stay on a card": f"no: {reason}" if reason else "yes, from nvdec to nvenc"}


_found: dict[str, str] = {}
"""What came of trying it in this process."""


def _tried(say: Callable[[str], None] = lambda line: None, *, again: bool = False) -> str:
    """What came of trying it, kept with what it depends on; for this process only where it may come out otherwise."""
    from ..engine.store import Store
    from .check import surroundings, try_out

    store, depends = Store(), surroundings()
    key, here = store.key("card", *depends), repr(depends)
    if not again:
        found = _found.get(here, store.finding(key))
        if found is not None:
            return found
    say("trying out whether frames can stay on the card: once, some seconds")
    _found[here], lasting = try_out()
    if lasting:
        store.keep_finding(key, _found[here])
    return _found[here]
