"""A kernel on one device, which takes fewer pictures at once where the device's memory turns out too small."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import OutOfMemoryError
from ..frames import Pixels
from .kernel import Kernel, Look
from .steps import Progress

_ARRAYS = ("maps", "classes", "scores", "probabilities", "top_classes", "top_probabilities")


class Replica:
    """Runs any number of pictures on one device. Callable from several threads at a time.

    Args:
        kernel: what runs there.
        smaller: makes a kernel of the same device for fewer pictures; called when the memory was too small.

    Attributes:
        kernel: what runs there now.
        out: True once the device has failed: it is not to be used again.
    """

    def __init__(self, kernel: Kernel, smaller: Callable[[Kernel, int], Kernel]) -> None:
        self.kernel = kernel
        self.out = False
        self._smaller = smaller
        self._lock = threading.Lock()

    @property
    def device(self) -> str:
        """Where it runs."""
        return self.kernel.device

    def __call__(
        self, images: Pixels, progress: Progress | None = None, say: Callable[[str], None] = lambda line: None
    ) -> Look:
        """Explains pictures, ``uint8 (n, height, width, 3)`` RGB.

        Args:
            images: the pictures.
            progress: as in `Kernel`.
            say: told once when the batch is halved.

        Raises:
            DeviceError: not even one picture fits, or the device fails.
            ModelError: the model failed.
        """
        looks: list[Look] = []
        done = 0
        while done < len(images) or not looks:
            kernel = self.kernel
            part = images[done : done + kernel.batch]
            try:
                looks.append(kernel(part, progress))
            except OutOfMemoryError:
                self._halve(kernel, say)
                continue
            done += len(part)
        return joined(looks)

    def warm_up(self, say: Callable[[str], None]) -> None:
        """Runs it once; with fewer pictures, where the device has no room for as many.

        Raises:
            DeviceError, ModelError: it does not run.
        """
        while True:
            kernel = self.kernel
            try:
                kernel.warm_up()
            except OutOfMemoryError:
                self._halve(kernel, say)
                continue
            return

    def _halve(self, kernel: Kernel, say: Callable[[str], None]) -> None:
        with self._lock:
            if self.kernel is not kernel:
                return
            if kernel.batch == 1:
                raise OutOfMemoryError(
                    f"{kernel.device} has not enough memory for a single frame of {kernel.size[0]}x{kernel.size[1]}",
                    do="use --device cpu or a smaller model",
                )
            half = kernel.batch // 2
            say(f"{kernel.device} has not enough memory for {kernel.batch} frames at once: {half} from now on")
            self.kernel = self._smaller(kernel, half)


def joined(looks: Sequence[Look]) -> Look:
    """Several looks as one."""
    if len(looks) == 1:
        return looks[0]
    together: dict[str, Any] = {name: np.concatenate([getattr(look, name) for look in looks]) for name in _ARRAYS}
    return Look(
        **together,
        figures={name: np.concatenate([look.figures[name] for look in looks]) for name in looks[0].figures},
    )
