"""The video of learning, from a log with known maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamcam.errors import OptionError, SinkError, SourceError, UnknownFormatError
from streamcam.training import write_evolution
from streamcam.training.evolution import find_curves
from streamcam.training.loggers import MapRecord, RunInfo, open_logger
from tests.cli.runner import cli

COUNT, SIDE = 4, 48


def write_log(folder: Path, steps: int = 3, method: str = "gradcam") -> Path:
    """Write a log whose evidence is in the left half at first, and in the right half at the end."""
    logger = open_logger(f"folder:{folder}")
    images = np.full((COUNT, SIDE, SIDE, 3), 128, np.uint8)
    logger.begin(RunInfo("net", (method,), ("cat", "dog"), images, ("cat", "dog") * 2, "epoch"))
    for step in range(steps):
        maps = np.zeros((COUNT, 2, 2), np.float32)
        maps[:, :, int(step == steps - 1)] = 4.0
        names = ("cat",) * COUNT
        logger.log_maps(
            MapRecord(method, method, "conv", "heat", step, float(step), maps, 5.0, names, names, (0.5,) * COUNT, {})
        )
        if step:
            logger.log_epoch(step, step, {"loss": 1 / step, "accuracy": 0.2 * step, "val_loss": 2 / step})
    return folder


def frames_of(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]


def cell_warmth(frame: Any) -> tuple[float, float]:
    """Red less blue in the left and the right half of the first image."""
    cell = frame[60:240, 3:195]
    warmth = cell[..., 0] - cell[..., 2]
    return float(warmth[:, :70].mean()), float(warmth[:, -70:].mean())


def test_maps_move_between_epochs_and_the_cursor_with_them(tmp_path: Path) -> None:
    found = write_evolution(write_log(tmp_path / "log"), tmp_path / "out.mp4", step_seconds=1.0, fps=10)
    frames = frames_of(tmp_path / "out.mp4")
    assert found.frames == len(frames) == 2 * 10 + 15
    assert (found.epochs, found.explanations, found.images, found.method) == ((0.0, 2.0), 3, 4, "gradcam")
    left, right = cell_warmth(frames[0])
    assert left > right + 50
    left, right = cell_warmth(frames[-1])
    assert right > left + 50
    between = [cell_warmth(frame)[1] - cell_warmth(frame)[0] for frame in frames[14:21]]
    assert np.diff(between).min() > -1
    assert between[0] < between[3] < between[-1]
    strips = [frame[-150:] for frame in frames]
    cursors = [int(np.argmax((strip[40:120] > 190).all(axis=2).mean(axis=0))) for strip in (strips[0], strips[-1])]
    assert cursors[1] > cursors[0] + 200


def test_held_maps_do_not_move(tmp_path: Path) -> None:
    write_evolution(
        write_log(tmp_path / "log"), tmp_path / "out.mp4", step_seconds=0.5, fps=10, interpolation="hold", images=1
    )
    frames = frames_of(tmp_path / "out.mp4")
    sides = [right > left for left, right in map(cell_warmth, frames)]
    assert sides == [False] * 10 + [True] * 15


def test_loss_and_accuracy_are_found_by_their_names() -> None:
    curves = find_curves({1: {"loss": 1.0, "sparse_categorical_accuracy": 0.5, "lr": 3.0}, 2: {"loss": float("nan")}})
    assert [(curve.label, curve.points) for curve in curves] == [
        ("loss", ((1.0, 1.0),)),
        ("sparse_categorical_accuracy", ((1.0, 0.5),)),
    ]


def test_the_command_writes_a_video_and_json(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log")
    result = cli("evolution", log, "-o", tmp_path / "out.mp4", "--step-seconds", "0.1", "--images", "2", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["frames"] == len(frames_of(tmp_path / "out.mp4"))
    assert report["images"] == 2
    again = cli("evolution", log, "-o", tmp_path / "out.mp4")
    assert again.exit_code == 1
    assert "exists already" in again.stderr


def test_folders_that_hold_no_evolution_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        write_evolution(tmp_path / "nowhere", tmp_path / "out.mp4")
    with pytest.raises(SourceError, match="no training log"):
        write_evolution(tmp_path, tmp_path / "out.mp4")
    with pytest.raises(SourceError, match="no explanations yet"):
        write_evolution(write_log(tmp_path / "empty", 0), tmp_path / "out.mp4")
    with pytest.raises(SourceError, match="one explanation"):
        write_evolution(write_log(tmp_path / "one", 1), tmp_path / "out.mp4")
    log = write_log(tmp_path / "log")
    with pytest.raises(OptionError, match="did you mean 'gradcam'"):
        write_evolution(log, tmp_path / "out.mp4", method="gradcma")
    with pytest.raises(UnknownFormatError, match=r"\.png"):
        write_evolution(log, tmp_path / "out.png")
    with pytest.raises(SinkError, match="does not exist"):
        write_evolution(log, tmp_path / "nowhere" / "out.mp4")
    assert not list(tmp_path.glob("out*"))


def test_damaged_logs_are_one_line(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log")
    (log / "maps" / "gradcam" / "00000001.npy").write_bytes(b"no array")
    with pytest.raises(SourceError, match="cannot be read"):
        write_evolution(log, tmp_path / "out.mp4")
    (log / "run.json").write_text('{"version": 99}')
    with pytest.raises(SourceError, match="version 99"):
        write_evolution(log, tmp_path / "out.mp4")
