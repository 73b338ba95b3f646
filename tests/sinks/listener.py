"""Run by the tests: a peer that waits for a pusher, and prints what it sees: width, height, and each plane's mean."""

from __future__ import annotations

import sys

import av

from tests.media_helpers import planes


def main(url: str) -> None:
    """Prints a line for each frame until the pusher is gone."""
    rtsp = url.startswith("rtsp")
    options = (
        {"rtsp_flags": "listen", "listen_timeout": "30"}
        if rtsp
        else {"listen": "1", "timeout": "30", "analyzeduration": "100000"}
    )
    with av.open(url, format="rtsp" if rtsp else "flv", options=options) as container:
        for frame in container.decode(video=0):
            print(frame.width, frame.height, *(round(float(plane.mean())) for plane in planes(frame)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
