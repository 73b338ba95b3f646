"""A kernel on one device, which takes fewer pictures at once where the device's memory turns out too small."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import OutOfMemoryError
from ...frames import RgbImage
from ..compiled_method import BatchResult, Executable
from ..multi_pass import Progress

_ARRAYS = ("maps", "classes", "scores", "probabilities", "top_classes", "top_probabilities")


class DeviceReplica:
    """Runs any number of pictures on one device. Callable from several threads at a time.

    Args:
        executable: what runs there.
        rebuild_smaller: makes a kernel of the same device for fewer pictures; called when the memory was too small.

    Attributes:
        executable: what runs there now.
        failed: True once the device has failed: it is not to be used again.
    """

    def __init__(self, executable: Executable, rebuild_smaller: Callable[[Executable, int], Executable]) -> None:
        self.executable = executable
        self.failed = False
        self._rebuild_smaller = rebuild_smaller
        self._lock = threading.Lock()

    @property
    def device(self) -> str:
        """Where it runs."""
        return self.executable.device

    def __call__(
        self, images: RgbImage, progress: Progress | None = None, on_note: Callable[[str], None] = lambda line: None
    ) -> BatchResult:
        """Explains pictures, ``uint8 (n, height, width, 3)`` RGB.

        Args:
            images: the pictures.
            progress: as in `Executable`.
            on_note: told once when the batch is halved.

        Raises:
            DeviceError: not even one picture fits, or the device fails.
            ModelError: the model failed.
        """
        results: list[BatchResult] = []
        done = 0
        while done < len(images) or not results:
            executable = self.executable
            part = images[done : done + executable.batch]
            try:
                results.append(executable(part, progress))
            except OutOfMemoryError:
                self._halve(executable, on_note)
                continue
            done += len(part)
        return join_results(results)

    def warm_up(self, on_note: Callable[[str], None]) -> None:
        """Runs it once; with fewer pictures, where the device has no room for as many.

        Raises:
            DeviceError, ModelError: it does not run.
        """
        while True:
            executable = self.executable
            try:
                executable.warm_up()
            except OutOfMemoryError:
                self._halve(executable, on_note)
                continue
            return

    def _halve(self, executable: Executable, on_note: Callable[[str], None]) -> None:
        with self._lock:
            if self.executable is not executable:
                return
            if executable.batch == 1:
                raise OutOfMemoryError(
                    f"{executable.device} has not enough memory for a single frame of {executable.size[0]}x{executable.size[1]}",
                    hint="use --device cpu or a smaller model",
                )
            half = executable.batch // 2
            on_note(
                f"{executable.device} has not enough memory for {executable.batch} frames at once: {half} from now on"
            )
            self.executable = self._rebuild_smaller(executable, half)


def join_results(results: Sequence[BatchResult]) -> BatchResult:
    """Several looks as one."""
    if len(results) == 1:
        return results[0]
    together: dict[str, Any] = {name: np.concatenate([getattr(result, name) for result in results]) for name in _ARRAYS}
    return BatchResult(
        **together,
        quality_metrics={
            name: np.concatenate([look.quality_metrics[name] for look in results])
            for name in results[0].quality_metrics
        },
    )
