"""``python -m streamcam.card``: the trial of `check.py`; prints what is wrong and exits with 1."""

from __future__ import annotations

import sys

from ..cuda import pretended
from ..engine.devices import choose_devices
from ..errors import StreamcamError
from .check import check


def main() -> int:
    """Runs it; 0 where all is well."""
    try:
        check(*choose_devices("cpu" if pretended() else "gpu:0"))
    except StreamcamError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
