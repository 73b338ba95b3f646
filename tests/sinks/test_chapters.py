"""Chapters go with the film."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.media_helpers import gradient_frame, transcode

WHOLE = [(0, 0.5, "Dawn"), (0.5, 1.25, "Noon"), (1.25, 2, "Dusk")]


def film(path: Path) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        output.set_chapters(
            [
                {
                    "id": number,
                    "start": int(1000 * begin),
                    "end": int(1000 * end),
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": title},
                }
                for number, (begin, end, title) in enumerate(WHOLE, 1)
            ]
        )
        for index in range(50):
            frame = gradient_frame(96, 64, index)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


@pytest.mark.parametrize("source", ["a.mkv", "a.mp4"])
@pytest.mark.parametrize(
    ("out", "more"),
    [("o.mp4", {}), ("o.mov", {}), ("o.mkv", {}), ("o.webm", {"codec": "vp9"})],
    ids=lambda value: str(value),
)
@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ({}, WHOLE),
        ({"start": Fraction(1, 4), "end": Fraction(3, 2)}, [(0, 0.25, "Dawn"), (0.25, 1, "Noon"), (1, 1.25, "Dusk")]),
        ({"start": Fraction(1, 2), "end": Fraction(1)}, [(0, 0.5, "Noon")]),
    ],
    ids=["end_to_end", "part", "inside"],
)
def test_chapters_keep_their_place(tmp_path: Path, source, out, more, window, expected) -> None:
    transcode(film(tmp_path / source), tmp_path / out, **window, **more)
    with av.open(str(tmp_path / out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == round(25 * expected[-1][1])
        found = [
            (
                float(chapters["start"] * chapters["time_base"]),
                float(chapters["end"] * chapters["time_base"]),
                chapters["metadata"]["title"],
            )
            for chapters in container.chapters()
        ]
    assert found == expected
