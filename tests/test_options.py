from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import streamcam
from streamcam.errors import OptionError, StreamcamError, count_of, did_you_mean, list_known
from streamcam.job import Job
from streamcam.options import DrawOptions


def test_flat_options_find_their_place() -> None:
    job = Job.from_options(
        "in.mp4", "out.mkv", method="gradcam", every=3, alpha=0.2, crf=30, fit="crop", start=Fraction(1, 2)
    )
    assert (job.source.url, str(job.sink.path)) == ("in.mp4", "out.mkv")
    assert (job.explain.method, job.temporal.every, job.draw.alpha) == ("gradcam", 3, 0.2)
    assert (job.sink.crf, job.model.fit, job.source.start) == (30, "crop", Fraction(1, 2))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fit": "squash"}, "unknown --fit 'squash'; expected one of auto, stretch, crop, letterbox, native"),
        ({"colormap": "viridi"}, "did you mean 'viridis'"),
        ({"alpha": "2"}, "invalid --alpha '2'; expected 0 to 1"),
        ({"alpha": None}, "invalid --alpha None; expected 0 to 1"),
        ({"alpha": 1.5}, "invalid --alpha 1.5; expected 0 to 1"),
        ({"every": 0}, "1 or more"),
        ({"every": 2.5}, "whole number"),
        ({"every": "2"}, "whole number, or auto"),
        ({"every": "often"}, "unknown --every 'often'.*auto"),
        ({"every": "auto", "change_threshold": 1.5}, "--change-threshold 1.5.*0 to 1"),
        ({"every": "auto", "change_threshold": float("nan")}, "--change-threshold nan.*0 to 1"),
        ({"interpolation": "liner"}, "did you mean 'linear'"),
        ({"scale": 0.0}, "positive"),
        ({"scale": "runing"}, "did you mean 'running'"),
        ({"crf": 99}, "0 to 63"),
        ({"layout": "stacked"}, "side-by-side"),
        ({"precision": "float8"}, "bfloat16"),
        ({"codec": "h265"}, "hevc"),
        ({"start": Fraction(-1)}, "invalid --start -1; expected 0 or more seconds"),
        ({"start": Fraction(5), "end": Fraction(5)}, "invalid --end 5; expected a time after --start 5"),
        ({"start": -0.5}, "invalid --start -0.5; expected 0 or more seconds"),
        ({"start": "1:30"}, "invalid --start '1:30'; expected a number of seconds"),
        ({"end": float("nan")}, "invalid --end nan; expected a number of seconds"),
        ({"decoder": "gpu"}, "unknown --decoder 'gpu'; expected one of cpu, nvdec"),
        ({"encoder": "gpu"}, "unknown --encoder 'gpu'; expected one of cpu, nvenc"),
        ({"encoders": "2"}, r"^--encoders is the text '2'; expected 1 to 256, or auto; omit the quotes$"),
        ({"encoders": True}, "invalid --encoders True; expected 1 to 256, or auto"),
        ({"top_k": True}, "invalid --top-k True"),
        ({"record": 5}, "invalid --record 5; expected a folder, or auto"),
        ({"batch": -1}, "invalid --batch -1; expected 0 to 1024"),
        ({"metod": "gradcam"}, "did you mean 'method'"),
    ],
)
def test_wrong_values_say_what_is_right(options: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        Job.from_options("in.mp4", "out.mp4", **options)


def test_python_values_are_taken_as_meant() -> None:
    job = Job.from_options("in.mp4", "out.mp4", target=3, model=Path("mine.keras"))
    assert (job.explain.target, job.model.model) == (("3",), "mine.keras")
    targets = ("top", "Cat", "cat", " TOP", "Cat ", len, len)
    assert Job.from_options("in.mp4", "out.mp4", target=targets).explain.target == ("top", "Cat", "cat", len)
    records = {True: "auto", False: None, Path("maps"): "maps"}
    assert [Job.from_options("in.mp4", "out.mp4", record=one).sink.record for one in records] == [*records.values()]


@pytest.mark.parametrize("name", ["url", "path"])
def test_positional_arguments_are_no_options(name: str) -> None:
    with pytest.raises(OptionError, match=f"unknown option '{name}'"):
        streamcam.process("in.mp4", "out.mp4", **{name: "x"})


def test_seconds_are_exact() -> None:
    job = Job.from_options("in.mp4", "out.mp4", start=0.1, end=2)
    assert job.source.window == (Fraction(1, 10), Fraction(2))
    assert Job.from_dict(job.to_dict()) == job
    assert Job.from_options("in.mp4", "out.mp4", start=Fraction(1, 3)).source.start == Fraction(1, 3)


def test_an_error_is_one_line() -> None:
    error = StreamcamError("it came\nbroken. ", expected="something\n  whole", hint="mend it")
    assert str(error) == "it came broken; expected something whole; mend it"


def test_nearest_names() -> None:
    assert did_you_mean("samoyd", ["Samoyed", "tench"]) == "did you mean 'Samoyed'?"
    assert did_you_mean("zzz", ["Samoyed"]) == ""


def test_fields_of_the_caption_are_checked_by_name() -> None:
    assert DrawOptions(caption_fields="class, time").caption_fields == "class,time"
    assert DrawOptions(caption_fields="class, time").caption_parts == {"class", "time"}
    with pytest.raises(OptionError, match=r"unknown --caption-fields 'clas'.*did you mean 'class'"):
        DrawOptions(caption_fields="clas")
    with pytest.raises(OptionError, match="unknown --caption-fields"):
        DrawOptions(caption_fields=["class"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("nope.mp4", ["slong.mp4", "clip.mp4"], ""),  # only the suffix is alike
        ("clipp.mp4", ["clip.mp4", "slong.mp4"], "did you mean 'clip.mp4'?"),
        ("puppy", ["purse", "pupa", "poppy"], "did you mean 'poppy', 'pupa'?"),
        ("gradcan", ["saliency", "gradcam", "gradcam++"], "did you mean 'gradcam', 'gradcam++'?"),
    ],
)
def test_suggestions_are_similar(name: str, known: list[str], expected: str) -> None:
    assert did_you_mean(name, known) == expected


def test_an_unknown_name_gets_the_whole_list_or_the_nearest() -> None:
    assert list_known("dog", ["cat", "fox"], "classes") == "the classes are 'cat', 'fox'"
    assert list_known("foxx", ["cat", "fox"], "classes") == "did you mean 'fox'?"
    many = [f"class {n}" for n in range(30)]
    nearest = list_known("clas 7", many, "classes")
    assert nearest.startswith("did you mean 'class 7', ")
    assert nearest.count("'") == 10
    assert list_known("quux", many, "classes") == "the classes are 'class 0', 'class 1', …, 'class 29'"


def test_a_number_agrees_with_its_noun() -> None:
    assert [count_of(n, "frame") for n in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
    assert [count_of(n, "class", "classes") for n in (1, 3)] == ["1 class", "3 classes"]
