"""Write the page: faults in words, statistics of each stage, and samples side by side, in one HTML file.

The page is bounded: images are at most 224 pixels a side, and all images together at most 16 MB; further samples are
omitted, with a line that says so. It contains no address, and its security policy forbids the network.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import OptionError, SinkError, count_of
from ...media.image_bytes import encode_rgb
from ...sinks.paths import check_output_path, write_file
from .evidence import Evidence, Fault, Sample, StageEvidence
from .matching import pair_records
from .words import describe_shape, histogram

MAX_IMAGE_BYTES = 16 << 20
MAX_STAGES = 16
MAX_TEXT = 300
_SIDE = 224
_MAX_CLASSES = 12
_SUFFIXES = (".html", ".htm")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def check_page_path(path: Path, *, overwrite: bool, option: str = "-o") -> None:
    """Check that a page can be written, before anything is read.

    Raises:
        OptionError: its suffix is not that of a page.
        SinkError: the file exists, or its folder cannot be written to.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise OptionError(f"invalid {option} {path}", expected="a file that ends in .html")
    check_output_path(path, overwrite=overwrite, option=option)


def write_page(
    evidence: Evidence,
    faults: Sequence[Fault],
    path: Path,
    *,
    overwrite: bool,
    title: str,
    option: str = "-o",
) -> Path:
    """Write the page; return its path.

    Args:
        evidence: the stages.
        faults: what the checks found.
        path: of the file.
        overwrite: replace an existing file.
        title: heading.
        option: that names the file, for messages.

    Raises:
        OptionError: another suffix, or there are no images.
        SinkError: the file exists, or cannot be written.
    """
    if not evidence.stages:
        raise OptionError("no image was recorded", hint="iterate over the pipeline first")
    check_page_path(path, overwrite=overwrite, option=option)
    text = render_page(evidence, faults, title)
    try:
        # Names of files may contain bytes that are no text.
        write_file(text.encode(errors="replace"), path, overwrite=overwrite, option=option)
    except OSError as error:
        raise SinkError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def render_page(evidence: Evidence, faults: Sequence[Fault], title: str) -> str:
    """Return the page as HTML.

    Args:
        evidence: the stages.
        faults: what the checks found.
        title: heading.
    """
    rows = _rows(evidence)
    positions: dict[tuple[str, str, int], int] = {
        (stage.name, stage.split, sample.index): number for number, row in enumerate(rows) for stage, sample in row
    }
    shown, omitted = _render_rows(rows, evidence)
    note = f"<p>{count_of(omitted, 'sample')} omitted: the page would be too large.</p>" if omitted else ""
    assets = files(__package__) / "assets"
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<style>{(assets / 'page.css').read_text()}</style></head><body>",
        f"<h1>{_text(title)}</h1>",
        "<h2>Faults</h2>",
        _render_faults(faults, evidence, positions, len(shown)),
        f"<p><b>{count_of(evidence.unreadable, 'file')} cannot be read</b></p>" if evidence.unreadable else "",
        "<h2>Stages</h2><div class=stages>",
        *(_render_stage(stage, evidence) for stage in evidence.stages[:MAX_STAGES]),
        "</div><h2 id=samples>Samples</h2>",
        "<nav><button data-step=-1>← Previous</button><button data-step=1>Next →</button><output></output>",
        "<small>Keys: ← → Page Up, Page Down, Home, End</small></nav>",
        *shown,
        note,
        f"<script>{(assets / 'page.js').read_text()}</script></body></html>",
    ]
    return "\n".join(parts)


def _render_faults(
    faults: Sequence[Fault], evidence: Evidence, positions: dict[tuple[str, str, int], int], num_rows: int
) -> str:
    if not faults:
        return "<p class=none>The checks found no fault.</p>"
    splits = {stage.name: stage.split for stage in evidence.stages}
    items = []
    for fault in faults:
        split = splits.get(fault.stage, "train")
        found = [positions.get((fault.stage, split, index)) for index in fault.indices]
        rows = sorted({row for row in found if row is not None and row < num_rows})[:8]
        buttons = "".join(f"<button data-row={row}>Sample {row + 1}</button>" for row in rows)
        items.append(
            f"<li><b>{_text(fault.name)}</b> in stage <b>{_text(fault.stage)}</b> "
            f"<small>({count_of(fault.count, 'image')})</small><br>{_text(fault.words, 600)}<br>{buttons}</li>"
        )
    return f"<ul class=faults>{''.join(items)}</ul>"


def _render_stage(stage: StageEvidence, evidence: Evidence) -> str:
    shapes = ", ".join(f"{describe_shape(shape)} ({count})" for shape, count in list(stage.shapes.items())[:4])
    more = ", …" if len(stage.shapes) > 4 else ""
    low, high = stage.range
    split = f" · {stage.split}" if len(evidence.chains()) > 1 else ""
    channels = "; ".join(
        f"{mean:.4g} ± {std:.4g}" for mean, std in zip(stage.mean.tolist(), stage.std.tolist(), strict=True)
    )
    bad = (
        f"<p><b>{count_of(stage.not_finite[0], 'image')} with NaN or infinite values</b></p>"
        if stage.not_finite[0]
        else ""
    )
    return (
        f"<div class=stage><h3>{_text(stage.name)}<small>{split}</small></h3>"
        f"<p>{count_of(stage.count, 'image')}, {_text(stage.dtype)}</p><p>{shapes}{more}</p>"
        f"<p>{low:.4g} to {high:.4g}; mean ± standard deviation of each channel: {channels}</p>{bad}"
        f"{_render_histogram(stage)}{_render_classes(stage, evidence)}</div>"
    )


def _render_histogram(stage: StageEvidence) -> str:
    counts, edges = histogram(stage)
    top = float(np.sqrt(counts.max(initial=1))) or 1.0
    bars = "".join(
        f'<rect x="{number}" y="{100 - height:.1f}" width="0.9" height="{height:.1f}"/>'
        for number, count in enumerate(counts)
        if (height := 100 * float(np.sqrt(count)) / top) > 0
    )
    return (
        f'<svg viewBox="0 0 {len(counts)} 100" preserveAspectRatio="none" role="img" '
        f'aria-label="Histogram of values, square root of counts">{bars}</svg>'
        f"<div class=axis><span>{edges[0]:.4g}</span><span>{edges[-1]:.4g}</span></div>"
    )


def _render_classes(stage: StageEvidence, evidence: Evidence) -> str:
    if not stage.labels:
        return ""
    ordered = sorted(stage.labels.items(), key=lambda one: -one[1])
    most = ordered[0][1]
    bars = "".join(
        f'<div class=bar><span>{_text(_class_name(label, evidence))}</span><div><i style="display:block;'
        f'width:{100 * count / most:.1f}%"></i></div>{count}</div>'
        for label, count in ordered[:_MAX_CLASSES]
    )
    more = len(ordered) - _MAX_CLASSES
    return bars + (f"<p>and {count_of(more, 'more class', 'more classes')}</p>" if more > 0 else "")


def _class_name(label: int, evidence: Evidence) -> str:
    return str(evidence.class_names[label]) if 0 <= label < len(evidence.class_names) else f"class {label}"


def _rows(evidence: Evidence) -> list[list[tuple[StageEvidence, Sample]]]:
    """Return the samples of each image in one row, if known."""
    rows: list[list[tuple[StageEvidence, Sample]]] = []
    for chain in evidence.chains(references=True):
        row_of: dict[int, int] = {}
        previous: StageEvidence | None = None
        for stage in chain[:MAX_STAGES]:
            same = _identity(previous, stage)
            own: dict[int, int] = {}
            for sample in stage.samples:
                row = row_of.get(same.get(sample.index, -1))
                if row is None:
                    row = len(rows)
                    rows.append([])
                rows[row].append((stage, sample))
                own[sample.index] = row
            row_of, previous = own, stage
    return rows


def _identity(first: StageEvidence | None, second: StageEvidence) -> dict[int, int]:
    """Return the position in the stage before, by position in the stage; empty if unknown."""
    if first is None:
        return {}
    pairs = pair_records(first, second)
    if pairs.known_by == "order":
        return {sample.index: sample.index for sample in second.samples}
    return {two.index: one.index for one, two in zip(pairs.first, pairs.second, strict=True)}


def _render_rows(rows: list[list[tuple[StageEvidence, Sample]]], evidence: Evidence) -> tuple[list[str], int]:
    """Return the rows that fit as HTML, and the number omitted."""
    rendered, size = list[str](), 0
    for number, row in enumerate(rows):
        figures = "".join(_render_figure(stage, sample, evidence) for stage, sample in row)
        size += len(figures)
        if size > MAX_IMAGE_BYTES:
            return rendered, len(rows) - number
        rendered.append(f"<div class=row>{figures}</div>")
    return rendered, 0


def _render_figure(stage: StageEvidence, sample: Sample, evidence: Evidence) -> str:
    image = np.asarray(sample.image)
    finite = image[np.isfinite(image)] if image.dtype.kind == "f" else image
    values = f"{float(finite.min()):.4g} to {float(finite.max()):.4g}" if finite.size else "no finite value"
    label = "" if sample.label is None else f" · {_text(_class_name(sample.label, evidence), 60)}"
    path = f"<br>{_text(sample.path[-80:])}" if sample.path else ""
    data = base64.b64encode(encode_rgb(to_rgb(stage, image), ".jpg", quality=85)).decode()
    record = next((one for one in stage.records if one.index == sample.index), None)
    shape = describe_shape(record.shape if record is not None else image.shape)
    return (
        f'<figure><img alt="Sample {sample.index}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption><b>{_text(stage.name)}</b>{shape} {_text(stage.dtype)}{label}<br>"
        f"{values}{path}</figcaption></figure>"
    )


def to_rgb(stage: StageEvidence, image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an image for the screen: values from the lowest to the highest of the stage become 0 to 255.

    Args:
        stage: of the image.
        image: ``(height, width, channels)``.
    """
    low, high = stage.range
    if low >= 0 and 1.16 < high <= 255.5:
        low, high = 0.0, 255.0
    elif len(stage.values):
        low, high = (float(one) for one in np.percentile(stage.values, (0.5, 99.5)))
    scaled = (np.nan_to_num(image.astype(np.float32)) - low) / max(high - low, 1e-9)
    factor = max(1, -(-max(image.shape[:2]) // _SIDE))
    small = np.clip(scaled[::factor, ::factor] * 255, 0, 255).astype(np.uint8)
    if small.shape[2] < 3:
        small = np.repeat(small[..., :1], 3, axis=2)
    return np.ascontiguousarray(small[..., :3])


def _text(text: str, limit: int = MAX_TEXT) -> str:
    """Escape a text of the user's data, shortened."""
    text = str(text)
    return escape(text if len(text) <= limit else f"{text[:limit]}…")
