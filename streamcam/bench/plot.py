"""A benchmark as a plot. Matplotlib is an extra: ``pip install 'streamcam[bench]'``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StreamcamError
from .analysis import analyze, scaling
from .report import heading
from .result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = {"decode": "#4477aa", "model": "#cc6677", "draw": "#ddaa33", "encode": "#999933", "end_to_end": "#222222"}
_LABELS = {"decode": "decode", "model": "model", "draw": "draw", "encode": "encode", "end_to_end": "end to end"}
_TRANSCODE, _FORWARD = "#88bbdd", "#ee99aa"


def check_plot(path: Path) -> None:
    """Check that a plot can be written, before any measurement.

    Raises:
        StreamcamError: Matplotlib is missing, or the name does not end in .png.
    """
    if path.suffix.lower() != ".png":
        raise StreamcamError(f"invalid --plot {path}", expected="a name that ends in .png")
    if find_spec("matplotlib") is None:
        raise StreamcamError("--plot needs Matplotlib", hint="pip install 'streamcam[bench]'")


def plot(result: Result, path: Path) -> None:
    """Plot stage speeds, CPU time and its bound, latency, and scaling.

    Raises:
        StreamcamError: the file cannot be written, or no end-to-end case succeeded.
    """
    from matplotlib.figure import Figure

    analyses = analyze(result.rows, result.machine["cores"])
    if not analyses:
        raise StreamcamError("nothing to plot: no end-to-end case succeeded")
    panels = [_stages, _costs, _latencies] + ([_scaling] if scaling(result.rows) else [])
    groups = len(analyses)
    figure = Figure(figsize=((3.4 + 0.55 * groups) * len(panels), 4.8), dpi=120, layout="constrained")
    figure.suptitle(heading(result), fontsize=9)
    for axes, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
        axes.grid(axis="y", color="#dddddd")
        axes.tick_params(labelsize=8)
        axes.title.set_fontsize(10)
        panel(axes, result)
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise StreamcamError(f"{path} cannot be written: {error.strerror}") from error


def _groups(axes: Axes, result: Result) -> list[tuple[str, int]]:
    """Label the groups of bars; return device and batch size of each."""
    groups = [(v.device, v.batch) for v in analyze(result.rows, result.machine["cores"])]
    axes.set_xticks(range(len(groups)), [f"{device}\nbatch {batch}" for device, batch in groups])
    axes.set_xlim(-0.6, len(groups) - 0.4)
    return groups


def _stages(axes: Axes, result: Result) -> None:
    width = 0.8 / len(_LABELS)
    for place, (device, batch) in enumerate(_groups(axes, result)):
        for number, stage in enumerate(_LABELS):
            row = next(
                row
                for row in result.rows
                if row.stage == stage and (not row.device or (row.device, row.batch) == (device, batch))
            )
            middle, low, high = (1000 * seconds for seconds in (row.wall_seconds, min(row.wall), max(row.wall)))
            x = place + (number - 2) * width
            label = "" if place else _LABELS[stage]
            bars = axes.bar(x, middle, width, color=_COLORS[stage], label=label, yerr=[[middle - low], [high - middle]])
            axes.bar_label(bars, [f"{row.fps:.0f}"], fontsize=7, padding=1)
    axes.set_title("Each stage alone, and all together")
    axes.set_ylabel("ms per frame; above, frames per second", fontsize=8)
    axes.legend(fontsize=7, frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, -0.3))


def _costs(axes: Axes, result: Result) -> None:
    _groups(axes, result)
    for place, analysis in enumerate(analyze(result.rows, result.machine["cores"])):
        transcode, forward, end_to_end = (
            1000 * s for s in (analysis.transcode_cpu_seconds, analysis.forward_cpu_seconds, analysis.cpu_seconds)
        )
        axes.bar(place - 0.2, transcode, 0.38, color=_TRANSCODE, label="" if place else "bound: plain transcode")
        axes.bar(
            place - 0.2,
            forward,
            0.38,
            bottom=transcode,
            color=_FORWARD,
            label="" if place else "bound: forward pass",
        )
        axes.bar(place + 0.2, end_to_end, 0.38, color=_COLORS["end_to_end"], label="" if place else "end to end")
        axes.annotate(
            f"{analysis.cpu_seconds / analysis.bound_cpu_seconds:.2f}×",
            (place + 0.2, end_to_end),
            ha="center",
            va="bottom",
            size=8,
        )
    axes.set_title("CPU time and its bound")
    axes.set_ylabel("CPU ms per frame", fontsize=8)
    axes.legend(fontsize=7, frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, -0.3))


def _latencies(axes: Axes, result: Result) -> None:
    ends = {(row.device, row.batch): row for row in result.rows if row.stage == "end_to_end"}
    for place, group in enumerate(_groups(axes, result)):
        row = ends[group]
        for shift, value, color, label in (
            (-0.2, row.latency_p50_seconds, "#7799aa", "median"),
            (0.2, row.latency_p99_seconds, "#335566", "99th percentile"),
        ):
            if value is not None:
                axes.bar(place + shift, 1000 * value, 0.38, color=color, label="" if place else label)
    axes.set_title("From decoder to encoder")
    axes.set_ylabel("latency of a frame, ms", fontsize=8)
    axes.legend(fontsize=7, frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, -0.3))


def _scaling(axes: Axes, result: Result) -> None:
    steps = scaling(result.rows)
    counts = [step["devices"] for step in steps]
    axes.plot(counts, [step["speedup"] for step in steps], "o-", color=_COLORS["end_to_end"], label="measured")
    axes.plot(counts, counts, "--", color="#999999", label="ideal")
    axes.set_xticks(counts)
    axes.set_title("More devices")
    axes.set_xlabel("devices", fontsize=8)
    axes.set_ylabel("times as fast as one, end to end", fontsize=8)
    axes.legend(fontsize=7, frameon=False)
