"""The line that names the result of an input."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import count_of, redact_url
from .inputs import is_url

if TYPE_CHECKING:
    from ..job import Job, RenderJob
    from ..summary import Summary


def format_summary(summary: Summary, job: Job | RenderJob) -> str:
    """Return the line that is printed when an input is done."""
    skipped = f", {summary.frames_skipped} could not be decoded" if summary.frames_skipped else ""
    stopped = ", interrupted" if summary.interrupted else ""
    encoders = f", {summary.encoders} encoders" if summary.encoders is not None and summary.encoders > 1 else ""
    record = f"; record: {job.sink.record_path}" if job.sink.record not in (None, "auto") else ""
    speed = f" at {summary.fps:.1f} fps" if summary.fps else ""  # a run that had nothing to do has none
    counts = f"{count_of(summary.frames_out, 'frame')}{speed}{encoders}{skipped}{stopped}"
    return f"{summary.output}: {counts}{record}"


def input_name(url: str) -> str:
    """Return the name of an input for JSON, as in a summary: the path as given, or a URL without its secrets."""
    return redact_url(url.removeprefix("file://"))


def short_name(url: str) -> str:
    """Return the name of an input for messages: a file's name, or a URL without its login."""
    return url.rpartition("@")[2] if is_url(url) else Path(url).name
