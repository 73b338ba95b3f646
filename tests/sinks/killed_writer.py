"""Run by the tests: pipes a clip into a file without end and says so on stdout after each frame."""

from __future__ import annotations

import sys
from pathlib import Path

from av.video.frame import VideoFrame

from streamcam.options import SinkOptions, SourceOptions
from streamcam.sinks import open_sink
from streamcam.sources import open_source

CHUNK_FRAMES = 30


def main(source: str, target: str, codec: str, encoders: str = "1") -> None:
    """Writes the clip again and again until stopped; waits for a line on stdin after each frame."""
    with open_source(SourceOptions(url=source)) as reader:
        frames = [frame.video_frame.to_ndarray() for frame in reader]
        info = reader.info
        options = SinkOptions(path=Path(target), codec=codec or None, encoders=int(encoders))  # type: ignore[arg-type]
        with open_sink(options, info) as sink:
            index = 0
            step = round(1 / (25 * info.time_base))
            while True:
                frame = VideoFrame.from_ndarray(frames[index % len(frames)], info.pixel_format)
                sink.write(frame, index * step, starts_chunk=index % CHUNK_FRAMES == 0)
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
