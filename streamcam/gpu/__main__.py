"""Run the self-test: ``python -m streamcam.gpu`` prints an error and exits with 1, or 3 if it is transient."""

from __future__ import annotations

import sys

from ..engine.runtime.devices import resolve_devices
from ..errors import DeviceError, OutOfMemoryError
from ..media.cuda import is_emulated
from .selftest import EXIT_TRANSIENT, check


def main() -> int:
    """Run the self-test, and return the exit code."""
    try:
        check(*resolve_devices("cpu" if is_emulated() else "gpu:0"))
    except Exception as error:  # the parent process reads this one line
        print(error if str(error) else type(error).__name__)
        return 1 if isinstance(error, DeviceError) and not isinstance(error, OutOfMemoryError) else EXIT_TRANSIENT
    return 0


if __name__ == "__main__":
    sys.exit(main())
