"""A folder: images as PNG, numbers as JSON lines, raw maps; ``streamcam evolution`` draws a video from it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from ...errors import SinkError, SourceError
from ...frames import RgbImage
from ...imports import expand_path
from ..folder_log import (
    IMAGES_FILE,
    LOG_FILE,
    RUN_FILE,
    VERSION,
    append_line,
    array_bytes,
    load_array,
    read_folder_log,
    to_half,
    write_file,
)
from .base import MapRecord, Progress, RunInfo, RunLogger, require_folder


class FolderLogger(RunLogger):
    """Writes a log that `streamcam.training.folder_log` describes.

    Args:
        folder: of the log; created if it is missing.
    """

    def __init__(self, folder: str) -> None:
        self.folder = expand_path(require_folder(folder, "folder"))

    def begin(self, run: RunInfo) -> None:
        """Create the folder, and write the validation images.

        Raises:
            SinkError: it cannot be written to, or holds the log of other images.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if (self.folder / RUN_FILE).exists():
                known = load_array(self.folder / IMAGES_FILE)
                if known.shape != run.images.shape or (known != run.images).any():
                    raise SinkError(
                        f"{self.folder} holds the log of other validation images",
                        hint="use a new folder, or the same images in the same order",
                    )
                every = read_folder_log(self.folder).run.get("every", run.every)
                if (every == "epoch") != (run.every == "epoch"):
                    raise SinkError(
                        f"{self.folder} holds a log with every={every!r}, not {run.every!r}",
                        hint="use a new folder: epochs and batches cannot be steps of one log",
                    )
            write_file(self.folder / IMAGES_FILE, array_bytes(run.images))
            values = {
                "version": VERSION,
                "model": run.model,
                "methods": run.methods,
                "labels": run.labels,
                "expected": run.expected,
                "every": run.every,
            }
            write_file(self.folder / RUN_FILE, json.dumps(values, indent=1).encode())
        except OSError as error:
            raise SinkError(f"the folder {self.folder} cannot be written to: {error.strerror or error}") from error
        except SourceError as error:
            raise SinkError(str(error), hint="use a new folder") from error

    def progress(self) -> Progress:
        """Return the epochs and scales of the log so far."""
        if not (self.folder / RUN_FILE).exists():
            return Progress()
        log = read_folder_log(self.folder)
        explained = max((one.epoch for one in log.explanations), default=0.0)
        return Progress(
            epochs=max(int(explained), *log.epochs, 0, 0),
            steps=frozenset(one.step for one in log.explanations),
            steps_by_epoch=log.steps_by_epoch,
            vmax={one.method: one.vmax for one in log.explanations},
        )

    def resume(self, epoch: int, step: int) -> None:
        """Append a line that voids what is later."""
        self._append({"event": "resume", "epoch": epoch, "step": step})

    def log_image(self, key: str, image: RgbImage, step: int) -> None:
        """Write a PNG."""
        from ...media.image_bytes import encode_rgb

        write_file(self._path("images", key, step, ".png"), encode_rgb(image, ".png", quality=0, fast=True))

    def log_scalar(self, key: str, value: float, step: int) -> None:
        """Append a number."""
        self._append({"event": "scalar", "key": key, "step": step, "value": value})

    def log_maps(self, record: MapRecord) -> None:
        """Write raw maps, then the line that names them."""
        path = self._path("maps", record.key, record.step, ".npy")
        half, factor = to_half(record.maps)
        write_file(path, array_bytes(half))
        values = asdict(record)
        del values["maps"]
        file = path.relative_to(self.folder).as_posix()
        self._append({"event": "maps", **values, "file": file, "factor": factor})

    def log_epoch(self, epoch: int, step: int, logs: Mapping[str, float]) -> None:
        """Append the numbers of an epoch."""
        self._append({"event": "epoch", "epoch": epoch, "step": step, "logs": dict(logs)})

    def _append(self, values: Mapping[str, object]) -> None:
        self._check_folder()
        append_line(self.folder / LOG_FILE, values)

    def _check_folder(self) -> None:
        if not (self.folder / RUN_FILE).exists():
            raise SinkError(f"the log {self.folder} was deleted during the training")

    def _path(self, kind: str, key: str, step: int, suffix: str) -> Path:
        self._check_folder()
        parts = [_file_name(part) for part in key.split("/")]
        return self.folder.joinpath(kind, *parts, f"{step:08}{suffix}")


def _file_name(part: str) -> str:
    """Return a file name that no other part of a key has.

    Other characters become ``%`` and their UTF-8 bytes.
    """
    return re.sub(r"[^\w\-+. ]|^\.", lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), part) or "%"
