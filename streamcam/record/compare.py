"""Whether a run can continue a record, and where: the same options, source, model and method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .manifest import Manifest, SourceIdentity
from .writer import is_full

_HARMLESS = {
    "source": {"url", "timeout_seconds", "allow_playlist_files", "max_pixels"},
    "sink": {"path", "overwrite", "record", "resume", "encoders"},
    "model": {"trust_model"},
    "explain": {"batch"},
}
"""Fields of a job that do not change its result; the source is compared by its hash.

Maps and scores of a frame are equal bit for bit in batches of 1, 2, 4, 8 and 16 (embedded model, CPU).
"""

_FACTS = ("preprocess", "layer", "method", "precision", "model_input")
"""Resolved facts of a run that its maps depend on."""


def find_other_source(recorded: Manifest, source: SourceIdentity) -> str:
    """Return how a source differs from the recorded one; empty if it is the same file."""
    if source.sha256 is None or recorded.source.sha256 is None:
        return f"{source.path} is no file: it cannot be compared with the recorded source"
    return "" if source.is_same_file(recorded.source) else f"{source.path} has changed since, or is another file"


def find_other_model(recorded: Manifest, sha256: str | None) -> str:
    """Return how a model's files differ from the recorded ones; empty if they do not."""
    return "" if sha256 == recorded.model["sha256"] else f"the files of the model {recorded.model['name']} have changed"


def find_other_option(recorded: Manifest, job: Mapping[str, Any]) -> str:
    """Return the first option with another value than recorded; empty if there is none.

    Args:
        recorded: of the record.
        job: the options, as in a manifest.
    """
    for part, options in job.items():
        before = recorded.job.get(part, {})
        for name, value in options.items():
            if name in _HARMLESS.get(part, ()) or name not in before or before[name] == value:
                continue
            return f"--{name.replace('_', '-')} was {_words(before[name])}, and is {_words(value)}"
    return ""


def find_other_fact(recorded: Manifest, run: Mapping[str, Any]) -> str:
    """Return the first resolved fact with another value than recorded; empty if there is none."""
    for name in _FACTS:
        before, now = recorded.run.get(name), run.get(name)
        if before != (list(now) if isinstance(now, tuple) else now):
            return f"{name.replace('_', ' ')} was {_words(before)}, and is {_words(now)} here"
    return ""


def find_other_versions(recorded: Manifest, versions: Mapping[str, str]) -> Iterator[str]:
    """Yield each library whose version differs from the recorded one."""
    for name in sorted({*recorded.versions, *versions}):
        before, now = recorded.versions.get(name), versions.get(name)
        if before != now:
            yield f"{name} {before or 'absent'}, now {now or 'absent'}"


def num_whole_chunks(manifest: Manifest) -> int:
    """Return how many chunks, from the first one, are whole.

    An interrupt may have cut the last one short.
    """
    whole = 0
    for entry in manifest.prefix:
        if manifest.plan is not None:
            is_whole = entry.num_frames == manifest.plan[entry.number].num_frames
        else:
            is_whole = manifest.complete or entry.number < len(manifest.prefix) - 1 or is_full(entry)
        if not is_whole:
            break
        whole += 1
    return whole


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_words, value)) or "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return "not set" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
