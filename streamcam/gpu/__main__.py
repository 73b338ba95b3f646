"""``python -m streamcam.gpu``: the trial of `check.py`; prints what is wrong and exits with 1, or 3 if it may pass."""

from __future__ import annotations

import sys

from ..engine.runtime.devices import resolve_devices
from ..errors import DeviceError, OutOfMemoryError
from ..media.cuda import is_emulated
from .selftest import EXIT_TRANSIENT, check


def main() -> int:
    """Runs it; 0 where all is well."""
    try:
        check(*resolve_devices("cpu" if is_emulated() else "gpu:0"))
    except Exception as error:  # whatever it is, whoever started this process has but this line of it
        print(error if str(error) else type(error).__name__)
        return 1 if isinstance(error, DeviceError) and not isinstance(error, OutOfMemoryError) else EXIT_TRANSIENT
    return 0


if __name__ == "__main__":
    sys.exit(main())
