"""A benchmark as tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .analysis import STAGE_LABELS, Analysis, analyze, scaling
from .result import Result
from .runner import Measurement
from .scaling import ScalingResult

STAGE_TITLES = {
    "decode": "decode + scale",
    "draw": "draw",
    "encode": "encode",
    "encode_source": "encode source",
    "transcode": "plain transcode",
    "forward": "forward pass",
    "model": "model + method",
    "end_to_end": "end to end",
}
_NONE = "–"
_BUSY_RATIO = 0.9
"""Share of the cores that counts as all of them."""


@dataclass(frozen=True, slots=True)
class TableData:
    """A table: title, column heads, and rows of text."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def tables(result: Result) -> list[TableData]:
    """Return the tables: speed by device and batch size, all cases, and scaling over devices."""
    result_tables = [_overview(result), _cases(result.rows)]
    if steps := scaling(result.rows):
        rows = [
            (
                str(step["devices"]),
                step["device"],
                str(step["batch"]),
                f"{step['fps']:.1f}",
                f"{step['speedup']:.2f}",
                f"{step['speedup'] / step['devices']:.0%}",
            )
            for step in steps
        ]
        result_tables.append(
            TableData("More devices", ("devices", "which", "batch", "fps", "speedup", "of the ideal"), rows)
        )
    return result_tables


def scaling_table(result: ScalingResult) -> TableData:
    """Return the steps of a scaling benchmark as a table."""
    rows = []
    for step in result.steps:
        label = (step.axis, str(step.count), str(step.cores), step.device)
        if step.error:
            rows.append((*label, "failed", *[""] * 4))
            continue
        rows.append(
            (
                *label,
                _spread(step.fps, [1 / seconds for seconds in step.wall]),
                f"{step.speedup:.2f}" if step.speedup else _NONE,
                f"{step.efficiency(result.first_count(step.axis)):.0%}" if step.speedup else _NONE,
                f"{step.busy_cores:.1f}",
                f"{STAGE_LABELS[step.bottleneck]}, {step.busy[step.bottleneck]:.0%} busy",
            )
        )
    head = ("axis", "count", "cores", "device", "fps", "speedup", "efficiency", "busy cores", "bottleneck")
    return TableData("Scaling: medians (and spread)", head, rows)


def scaling_failures(result: ScalingResult) -> list[str]:
    """Return a line for each failed step."""
    return [f"{step.count} {step.axis}: {step.error}" for step in result.steps if step.error]


def heading(result: Result | ScalingResult) -> str:
    """Describe clip, model and machine."""
    setting, machine = result.setting, result.machine
    clip, size = setting["clip"], _size(setting["size"])
    clip = clip if size in clip else f"{clip}, {size}"
    devices = [f"{name} ({about})" for name, about in machine["devices"].items() if about]
    return (
        f"{clip}, {setting['frames']} frames; {setting['model']} at "
        f"{_size(setting['input'])}, {setting['method']}\n"
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB{', '.join(['', *devices])}"
    )


def sentences(result: Result) -> list[str]:
    """Describe bottleneck, bound and distance of each device's fastest batch size."""
    analyses = analyze(result.rows, result.machine["cores"])
    lines = []
    for device in dict.fromkeys(analysis.device for analysis in analyses):
        lines += _format_analysis(min((v for v in analyses if v.device == device), key=lambda v: v.wall_seconds))
    return lines


def failures(result: Result) -> list[str]:
    """Return a line for each failed case."""
    return [f"{_case_name(row)}: {row.error}" for row in result.rows if row.error]


def ratios(cases: Sequence[dict[str, Any]]) -> TableData:
    """Return the rows of `streamcam.bench.compare.compare_rows` as a table."""
    rows = [
        (
            *_columns(Measurement(**{name: case[name] for name in ("stage", "device", "batch", "precision")})),
            *(f"{fps:.1f}" for fps in case["fps"]),
            f"{case['times_as_fast']:.2f}",
            *(f"{1000 * seconds:.1f}" for seconds in case["cpu_seconds"]),
            f"{case['times_as_cheap']:.2f}",
        )
        for case in cases
    ]
    head = ("case", "device", "batch", "fps then", "now", "speedup", "CPU ms then", "now", "CPU saving")
    return TableData("Compared with the earlier benchmark", head, rows)


def _overview(result: Result) -> TableData:
    alone = {row.stage: row for row in result.rows if not row.device}
    analyses = {(v.device, v.batch): v for v in analyze(result.rows, result.machine["cores"])}
    rows = []
    for row in result.rows:
        if row.stage != "end_to_end" or "," in row.device:
            continue
        key = row.device, row.batch
        model = next(r for r in result.rows if r.stage == "model" and (r.device, r.batch) == key)
        stages = [alone["decode"], model, alone["draw"], alone["encode"], row]
        analysis = analyses.get(key)
        cells = (
            ("", "", "")
            if analysis is None
            else (
                STAGE_LABELS[analysis.bottleneck],
                f"{analysis.cpu_seconds / analysis.bound_cpu_seconds:.2f}",
                f"{analysis.wall_seconds / analysis.bound_wall_seconds:.2f}",
            )
        )
        rows.append((row.device, str(row.batch), *(_fps(stage) for stage in stages), *cells))
    head = ("device", "batch", "decode", "model", "draw", "encode", "end to end", "bottleneck", "CPU / bound")
    return TableData("Frames per second", (*head, "wall / bound"), rows)


def _cases(rows: Sequence[Measurement]) -> TableData:
    head = ("case", "device", "batch", "fps", "CPU ms per frame", "memory MiB", "device MiB", "compile s", "p50 ms")
    return TableData("Cases: medians (and spread)", (*head, "p99 ms"), [_case(row) for row in rows])


def _case(row: Measurement) -> tuple[str, ...]:
    if row.error:
        return (*_columns(row), "failed", *[""] * 6)
    return (
        *_columns(row),
        _spread(row.fps, [1 / seconds for seconds in row.wall]),
        _spread(1000 * row.cpu_seconds, [1000 * seconds for seconds in row.cpu]),
        _number(row.memory_bytes, 2**-20, 0),
        _number(row.device_memory_bytes, 2**-20, 0),
        _number(row.compile_seconds, 1, 1),
        _number(row.latency_p50_seconds, 1000, 0),
        _number(row.latency_p99_seconds, 1000, 0),
    )


def _format_analysis(analysis: Analysis) -> list[str]:
    others = [f"{STAGE_LABELS[part]} {fps:.0f}" for part, fps in analysis.fps.items() if part != analysis.bottleneck]
    bound_cpu, bound_wall = analysis.bound_cpu_seconds, analysis.bound_wall_seconds
    overlay_cpu = analysis.overlay_cpu_seconds
    is_busy = analysis.busy_cores > _BUSY_RATIO * analysis.cores
    full = f"; all {analysis.cores} cores are busy: less CPU time anywhere makes it faster" if is_busy else ""
    gpu = analysis.device.startswith("gpu")
    wall = "the longer of transcode on all cores and forward pass" if gpu else f"over {analysis.cores} cores"
    return [
        f"Bottleneck ({analysis.device}, batch {analysis.batch}): {STAGE_LABELS[analysis.bottleneck]}, "
        f"{analysis.fps[analysis.bottleneck]:.0f} fps alone ({', '.join(others)}){full}",
        f"Bound: {_ms(bound_cpu)} CPU ms per frame = {_ms(analysis.transcode_cpu_seconds)} plain transcode + "
        f"{_ms(analysis.forward_cpu_seconds)} forward pass ({analysis.forward_precision}, batch "
        f"{analysis.forward_batch}); {wall}: {_ms(bound_wall)} ms, {1 / bound_wall:.0f} fps",
        f"The overlay costs the encoder {_ms(overlay_cpu)} CPU ms more than plain frames; with that included, end to "
        f"end takes {analysis.cpu_seconds / (bound_cpu + overlay_cpu):.2f} times the bound",
        f"Distance: end to end takes {_ms(analysis.cpu_seconds)} CPU ms, {analysis.cpu_seconds / bound_cpu:.2f} times "
        f"the bound, and {_ms(analysis.wall_seconds)} ms, {analysis.wall_seconds / bound_wall:.2f} times the bound "
        f"({analysis.busy_cores:.1f} of {analysis.cores} cores busy)",
    ]


def _spread(median: float, values: Sequence[float]) -> str:
    """Format ``median (smallest–largest)``; the median alone of a single value."""
    digits = 1 if median < 1000 else 0
    if len(values) == 1:
        return f"{median:.{digits}f}"
    return f"{median:.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def _columns(row: Measurement) -> tuple[str, str, str]:
    name = STAGE_TITLES[row.stage] + (f", {row.precision}" if row.stage in ("forward", "model", "end_to_end") else "")
    return name.rstrip(", "), row.device or _NONE, str(row.batch or _NONE)


def _case_name(row: Measurement) -> str:
    name, device, batch = _columns(row)
    return f"{name}, {device}, batch {batch}" if row.device else name


def _fps(row: Measurement) -> str:
    return "failed" if row.error else f"{row.fps:.1f}"


def _number(value: float | None, factor: float, digits: int) -> str:
    return _NONE if value is None else f"{value * factor:.{digits}f}"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"


def _size(size: Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"
