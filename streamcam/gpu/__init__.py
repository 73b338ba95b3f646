"""Frames that stay on a graphics card from the decoder (NVDEC) to the encoder (NVENC).

They are scaled to the model's input there, and drawn on. Only the model's view of a frame, a hundredth of it, and the
maps pass through the processor's memory. `unavailable_reason` says whether that can be, and `taker.py`, `scaler.py` and
`painter.py` are the three places of the road where it makes a difference.

What is drawn is what the processor draws, by the same tables; whether a machine's card and drivers really do it is
tried out once, in a process of its own (`check.py`).
"""

from __future__ import annotations

from collections.abc import Callable

from ..media.cuda import is_emulated
from ..options import Job
from ..sinks.codecs import CONTAINERS, NVENC_ENCODERS, nvenc_unavailable_reason
from ..sources.container import nvdec_unavailable_reason as nvdec_unavailable_reason

__all__ = ["report_environment", "unavailable_reason"]


def unavailable_reason(job: Job, on_note: Callable[[str], None] = lambda line: None) -> str:
    """Why a job's frames cannot stay on the card; empty where they can, if the source's pictures allow it.

    May try the card out, which takes some seconds the first time.

    Args:
        job: what is to be done.
        on_note: told when it does.
    """
    suffix = job.sink.path.suffix.lower()
    if job.temporal.every == "auto":
        return "--every auto looks at all of each picture"
    if job.temporal.interpolation != "hold":
        return f"--interpolation {job.temporal.interpolation} looks at the pictures too"
    if suffix not in CONTAINERS:
        return "stills are made by the processor"
    codec = job.sink.codec or CONTAINERS[suffix][0]
    if not is_emulated():
        if codec not in NVENC_ENCODERS:
            return f"cards do not encode {codec}"
        if reason := nvdec_unavailable_reason() or nvenc_unavailable_reason(NVENC_ENCODERS[codec]):
            return reason
    from ..engine.runtime.devices import resolve_devices

    devices = resolve_devices(job.explain.device)
    if is_emulated():
        return "" if devices == ("cpu",) else "the model is on several devices"
    if devices != ("gpu:0",):
        return "they are decoded on gpu:0, and the model is not there alone"
    if reason := _selftest_result(on_note):
        return f"{reason} (streamcam doctor tries again)"
    return ""


def report_environment() -> dict[str, str]:
    """Whether frames can stay on a card, for ``streamcam doctor``; tries it out anew."""
    reason = (
        nvdec_unavailable_reason() or nvenc_unavailable_reason(NVENC_ENCODERS["h264"]) or _selftest_result(rerun=True)
    )
    return {"frames stay on a card": f"no: {reason}" if reason else "yes, from nvdec to nvenc"}


_results: dict[str, str] = {}
"""What came of trying it in this process."""


def _selftest_result(on_note: Callable[[str], None] = lambda line: None, *, rerun: bool = False) -> str:
    """What came of trying it, kept with what it depends on; for this process only where it may come out otherwise."""
    from ..engine.runtime.compile_cache import CompileCache
    from .selftest import run_selftest, selftest_key

    store, key_parts = CompileCache(), selftest_key()
    key, process_key = store.cache_key("card", *key_parts), repr(key_parts)
    if not rerun:
        result = _results.get(process_key, store.get_text(key))
        if result is not None:
            return result
    on_note("trying out whether frames can stay on the card: once, some seconds")
    _results[process_key], cacheable = run_selftest()
    if cacheable:
        store.put_text(key, _results[process_key])
    return _results[process_key]
