"""Run by the tests: pushes pictures and says on stderr how it went."""

from __future__ import annotations

import sys
from typing import Any

from streamcam.config import OutletOptions
from streamcam.errors import StreamcamError
from streamcam.flow import Flow
from streamcam.sinks.outlet import Outlet
from tests.media import picture


def main(to: str, frames: int, width: int, height: int, pixel_format: str, **options: Any) -> None:
    """Offers pictures as fast as they are taken; ends where the outlet does."""
    outlet = Outlet(OutletOptions(to=to, **options), live=False)
    with Flow(patience=30) as flow:
        flow.alongside(outlet.run, stop=outlet.close)
        pictures = [picture(width, height, index, pixel_format) for index in range(10)]
        for index in range(frames):
            outlet.offer(pictures[index % 10], 777 + index * 3600)
    print(outlet.state, outlet.frames, outlet.trouble, sep="|", file=sys.stderr, flush=True)


if __name__ == "__main__":
    to, frames, width, height, pixel_format, *rest = sys.argv[1:]
    try:
        options = {name: float(value) for name, value in (pair.split("=") for pair in rest)}
        main(to, int(frames), int(width), int(height), pixel_format, **options)
    except StreamcamError as error:
        print(error, file=sys.stderr)
