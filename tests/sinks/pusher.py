"""Run by the tests: pushes frames and reports the result on stderr."""

from __future__ import annotations

import sys
from typing import Any

from streamcam.concurrency.group import StageGroup
from streamcam.errors import StreamcamError
from streamcam.options import OutputOptions
from streamcam.sinks.push.output import PushOutput
from tests.media_helpers import gradient_frame


def main(url: str, frames: int, width: int, height: int, pixel_format: str, **options: Any) -> None:
    """Submit frames as fast as they are taken, until the output ends."""
    output = PushOutput(OutputOptions(url=url, **options), live=False)
    with StageGroup(shutdown_timeout_seconds=30) as flow:
        flow.spawn(output.run, stop=output.close)
        video_frames = [gradient_frame(width, height, index, pixel_format) for index in range(10)]
        for index in range(frames):
            output.submit(video_frames[index % 10], 777 + index * 3600)
    print(output.state, output.num_frames, output.last_error, sep="|", file=sys.stderr, flush=True)


if __name__ == "__main__":
    to, frames, width, height, pixel_format, *rest = sys.argv[1:]
    try:
        options = {name: float(value) for name, value in (pair.split("=") for pair in rest)}
        main(to, int(frames), int(width), int(height), pixel_format, **options)
    except StreamcamError as error:
        print(error, file=sys.stderr)
