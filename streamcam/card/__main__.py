"""``python -m streamcam.card``: the trial of `check.py`; prints what is wrong and exits with 1, or 3 if it may pass."""

from __future__ import annotations

import sys

from ..cuda import pretended
from ..engine.devices import choose_devices
from ..errors import DeviceError, OutOfMemoryError
from .check import TRANSIENT, check


def main() -> int:
    """Runs it; 0 where all is well."""
    try:
        check(*choose_devices("cpu" if pretended() else "gpu:0"))
    except Exception as error:  # whatever it is, whoever started this process has but this line of it
        print(error if str(error) else type(error).__name__)
        return 1 if isinstance(error, DeviceError) and not isinstance(error, OutOfMemoryError) else TRANSIENT
    return 0


if __name__ == "__main__":
    sys.exit(main())
