"""A worker without a model."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from streamcam.errors import ModelError


class EchoWorker:
    """Squares numbers, fails, or ends its process."""

    def square(self, number: int) -> int:
        return number * number

    def wait_for(self, path: str) -> int:
        """Say that it has begun, and return once the file is gone."""
        Path(path, str(os.getpid())).touch()
        while Path(path, "go").exists() is False:
            time.sleep(0.02)
        return os.getpid()

    def fail(self) -> None:
        raise ModelError("no such model", hint="use another")

    def raise_error(self) -> None:
        raise ValueError("a defect\nof two lines")

    def end(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)
