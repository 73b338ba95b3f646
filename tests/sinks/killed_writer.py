"""Run by the tests: pipes a clip into a file without end and says so on stdout after each frame."""

from __future__ import annotations

import sys
from pathlib import Path

from streamcam.options import SinkOptions, SourceOptions
from streamcam.sinks import open_sink
from streamcam.sources import open_source


def main(source: str, target: str, codec: str) -> None:
    """Writes the clip again and again until stopped; waits for a line on stdin after each frame."""
    with open_source(SourceOptions(url=source)) as reader:
        frames = [frame.video_frame for frame in reader]
        info = reader.info
        with open_sink(SinkOptions(path=Path(target), codec=codec or None), info) as sink:  # type: ignore[arg-type]
            index = 0
            step = round(1 / (25 * info.time_base))
            while True:
                sink.write(frames[index % len(frames)], index * step)
                index += 1
                print(index, flush=True)
                sys.stdin.readline()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
