from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from streamcam.errors import OptionError, StreamcamError, did_you_mean
from streamcam.options import make_job


def test_flat_options_find_their_place() -> None:
    job = make_job("in.mp4", "out.mkv", method="gradcam", every=3, alpha=0.2, crf=30, fit="crop", start=Fraction(1, 2))
    assert (job.source.url, str(job.sink.path)) == ("in.mp4", "out.mkv")
    assert (job.explain.method, job.temporal.every, job.draw.alpha) == ("gradcam", 3, 0.2)
    assert (job.sink.crf, job.model.fit, job.source.start) == (30, "crop", Fraction(1, 2))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fit": "squash"}, "--fit 'squash'.*stretch"),
        ({"colormap": "viridi"}, "did you mean 'viridis'"),
        ({"alpha": 1.5}, "0 to 1"),
        ({"every": 0}, "1 or more"),
        ({"every": 2.5}, "whole number"),
        ({"every": "2"}, "whole number, or auto"),
        ({"every": "often"}, "--every often.*auto"),
        ({"every": "auto", "change_threshold": 1.5}, "--change-threshold 1.5.*0 to 1"),
        ({"every": "auto", "change_threshold": float("nan")}, "--change-threshold nan.*0 to 1"),
        ({"interpolation": "liner"}, "did you mean 'linear'"),
        ({"scale": 0.0}, "positive"),
        ({"scale": "runing"}, "did you mean 'running'"),
        ({"crf": 99}, "0 to 63"),
        ({"layout": "stacked"}, "side-by-side"),
        ({"precision": "float8"}, "bfloat16"),
        ({"codec": "h265"}, "hevc"),
        ({"start": Fraction(-1)}, "negative"),
        ({"start": Fraction(5), "end": Fraction(5)}, "not after"),
        ({"metod": "gradcam"}, "did you mean 'method'"),
    ],
)
def test_wrong_values_say_what_is_right(options: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        make_job("in.mp4", "out.mp4", **options)


def test_python_values_are_taken_as_meant() -> None:
    job = make_job("in.mp4", "out.mp4", target=3, model=Path("mine.keras"))
    assert (job.explain.target, job.model.model) == (("3",), "mine.keras")
    with pytest.raises(OptionError, match="wrong type"):
        make_job("in.mp4", "out.mp4", alpha="2")


def test_an_error_is_one_line() -> None:
    error = StreamcamError("it came\nbroken. ", expected="something\n  whole", hint="mend it")
    assert str(error) == "it came broken; expected something whole; mend it"


def test_nearest_names() -> None:
    assert did_you_mean("samoyd", ["Samoyed", "tench"]) == "did you mean 'Samoyed'?"
    assert did_you_mean("zzz", ["Samoyed"]) == ""
