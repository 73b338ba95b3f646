"""A compiled method on each device: smaller batches if memory runs out, and which devices have failed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ...errors import OutOfMemoryError
from ...frames import RgbImage
from ...models.targets import TargetCodes
from ...notes import get_logger
from ..compiled_method import BatchResult, Executable
from ..multi_pass import Progress

logger = get_logger(__name__)

_ARRAYS = ("maps", "classes", "scores", "probabilities", "top_classes", "top_probabilities")


class DevicePool:
    """The devices of an explainer, and which of them have failed. Callable from any thread.

    Args:
        devices: as from `resolve_devices`.
        threads_yield: run the model's CPU threads at a lower priority than the others of the process.
    """

    def __init__(self, devices: Sequence[str], *, threads_yield: bool = True) -> None:
        self.devices = tuple(devices)
        self.threads_yield = threads_yield
        self._failed: set[str] = set()
        self._lock = threading.Lock()

    @property
    def active(self) -> tuple[str, ...]:
        """The devices that have not failed; at least one."""
        return tuple(device for device in self.devices if device not in self._failed)

    def is_active(self, device: str) -> bool:
        """Return True for a device that has not failed."""
        return device not in self._failed

    def disable(self, device: str, error: Exception) -> None:
        """Disable a device, and log that once; the others take its work.

        Raises:
            Exception: ``error`` itself if no other device is left.
        """
        with self._lock:
            if device in self._failed:
                return
            if self.active == (device,):
                raise error
            self._failed.add(device)
        logger.warning("%s failed and is disabled: %s", device, error)


class DeviceReplica:
    """Runs any number of images on one device. Callable from several threads at a time.

    Args:
        executable: the compiled method.
        rebuild_smaller: makes an executable for fewer images on the same device; called if memory is too small.

    Attributes:
        executable: the compiled method in use now.
        watch: entered for each batch, with its number of images.
    """

    def __init__(self, executable: Executable, rebuild_smaller: Callable[[Executable, int], Executable]) -> None:
        self.executable = executable
        self.watch: Callable[[int], AbstractContextManager[None]] = lambda num_images: nullcontext()
        self._rebuild_smaller = rebuild_smaller
        self._lock = threading.Lock()

    @property
    def device(self) -> str:
        """Name of the device."""
        return self.executable.device

    def __call__(
        self, images: RgbImage, codes: TargetCodes | None = None, progress: Progress | None = None
    ) -> BatchResult:
        """Explain images, ``uint8 (n, height, width, 3)`` RGB.

        Args:
            images: the images.
            codes: as in `Executable`, or of each image, ``(n, targets, 2)``.
            progress: as in `Executable`.

        Raises:
            DeviceError: not even one image fits, or the device fails.
            ModelError: the model failed.
        """
        results: list[BatchResult] = []
        done = 0
        while done < len(images) or not results:
            executable = self.executable
            part = images[done : done + executable.batch]
            part_codes = codes[done : done + executable.batch] if codes is not None and codes.ndim == 3 else codes
            try:
                with self.watch(len(part)):
                    results.append(executable(part, part_codes, progress))
            except OutOfMemoryError:
                self._halve_batch(executable)
                continue
            done += len(part)
        return join_results(results)

    def swap(self, before: Executable, after: Executable) -> None:
        """Replace an executable from the next batch on.

        One that was replaced meanwhile, by a smaller batch, stays.
        """
        with self._lock:
            if self.executable is before:
                self.executable = after

    def warm_up(self) -> None:
        """Run it once; with fewer images if the device's memory is too small.

        Raises:
            DeviceError, ModelError: it does not run.
        """
        while True:
            executable = self.executable
            try:
                executable.warm_up()
            except OutOfMemoryError:
                self._halve_batch(executable)
                continue
            return

    def _halve_batch(self, executable: Executable) -> None:
        with self._lock:
            if self.executable is not executable:
                return
            if executable.batch == 1:
                width, height = executable.size
                raise OutOfMemoryError(
                    f"{executable.device} has too little memory for a single frame of {width}x{height}",
                    hint="use --device cpu or a smaller model",
                )
            half = executable.batch // 2
            logger.warning(
                "%s has too little memory for a batch of %d: %d from now on",
                executable.device,
                executable.batch,
                half,
            )
            self.executable = self._rebuild_smaller(executable, half)


def join_results(results: Sequence[BatchResult]) -> BatchResult:
    """Join the results of consecutive batches."""
    if len(results) == 1:
        return results[0]
    arrays: dict[str, Any] = {name: np.concatenate([getattr(result, name) for result in results]) for name in _ARRAYS}
    return BatchResult(
        **arrays,
        quality_metrics={
            name: np.concatenate([result.quality_metrics[name] for result in results])
            for name in results[0].quality_metrics
        },
    )
