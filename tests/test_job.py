"""Jobs as JSON: every option object, with values other than its defaults."""

from __future__ import annotations

import json
from dataclasses import MISSING
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from streamcam.errors import OptionError
from streamcam.job import Job, LiveJob, RenderJob, options_from_dict, options_to_dict
from streamcam.option_fields import option_fields
from streamcam.options import (
    ActivationOptions,
    CameraOptions,
    DrawOptions,
    EvolutionOptions,
    ExplainOptions,
    FilterOptions,
    InspectOptions,
    ModelOptions,
    OutputOptions,
    RecordOptions,
    ServerOptions,
    SinkOptions,
    SourceOptions,
    TemporalOptions,
)

SOURCE = SourceOptions(
    url="rtsp://host/1",
    start=Fraction(1, 3),
    end=Fraction(7, 2),
    timeout_seconds=2.5,
    decoder="nvdec",
    max_pixels=10**6,
    allow_playlist_files=True,
)
MODEL = ModelOptions(
    model="my.module:build",
    preprocess="my.module:scale",
    labels=["cat", "dog"],
    fit="crop",
    image_input="image",
    extra_input={"numbers": [1, 2.5], "age": "my.module:age"},
    trust_model=True,
)
EXPLAIN = ExplainOptions(
    method="smoothgrad",
    layer="outer/inner",
    target=("top", "3", "tabby - tiger cat"),
    params={"steps": 64},
    batch=4,
    precision="bfloat16",
    device="gpu:0,gpu:1",
)
TEMPORAL = TemporalOptions(every="auto", change_threshold=0.5, interpolation="flow", scale=2.5)
DRAW = DrawOptions(
    layout="side-by-side",
    colormap="viridis",
    alpha=0.25,
    caption=False,
    caption_position="bottom-right",
    caption_size=2.0,
    caption_fields="class,time",
    top_k=3,
    legend=True,
    size="50%",
)
SINK = SinkOptions(
    path=Path("out/a.mkv"),
    codec="av1",
    crf=30,
    preset="fast",
    overwrite=True,
    encoder="nvenc",
    encoders=3,
    record="maps",
    resume=True,
)
CAMERA = CameraOptions(
    url="webcam:1",
    name="yard",
    timeout_seconds=1.5,
    reconnect=3,
    max_latency_seconds=0.25,
    realtime=False,
    audio="copy",
    loop=True,
    snapshot_seconds=5.0,
    rtsp_transport="udp",
    credentials="logins",
    max_pixels=10**6,
    allow_playlist_files=True,
)
OUTPUT = OutputOptions(
    url="out.mp4", segment_seconds=60.5, codec="hevc", crf=20, preset="slow", timeout_seconds=1.5, overwrite=True
)
FILTERS = FilterOptions(
    layer="conv",
    filters="strongest:4",
    steps=9,
    seed=1,
    size=64,
    octaves=3,
    parametrization="maco",
    learning_rate=0.1,
    jitter=2,
    scale=0.2,
    rotation=1.5,
    tv=0.5,
    l2=0.25,
)
EVOLUTION = EvolutionOptions(
    method="saliency", images=4, step_seconds=1.5, fps=10, interpolation="hold", alpha=0.5, colormap="gray"
)
SERVER = ServerOptions(host="0.0.0.0", port=81, token="secret-of-16-chars")
JOB = Job(source=SOURCE, sink=SINK, model=MODEL, explain=EXPLAIN, temporal=TEMPORAL, draw=DRAW)
LIVE_JOB = LiveJob(
    cameras=(CAMERA, CameraOptions(url="-", name="b")),
    outputs=(("yard", OUTPUT), ("b", OutputOptions(url="y4m:-"))),
    server=SERVER,
    model=MODEL,
    explain=EXPLAIN,
    draw=DRAW,
    scale="frame",
    max_explain_fps=12.5,
    duration_seconds=90.0,
)
ACTIVATIONS = ActivationOptions(layers="a,b/c", channels=8, scale="shared", colormap="magma")
RECORD = RecordOptions(record="out.mp4.streamcam", source="moved.mp4", target=("top",))
RENDER_JOB = RenderJob(record=RECORD, source=SOURCE, sink=SINK, temporal=TEMPORAL, draw=DRAW)
INSPECT = InspectOptions(samples=8, seed=3, limit=100)
ALL = [
    RECORD,
    RENDER_JOB,
    ACTIVATIONS,
    INSPECT,
    SOURCE,
    MODEL,
    EXPLAIN,
    TEMPORAL,
    DRAW,
    SINK,
    CAMERA,
    OUTPUT,
    EVOLUTION,
    FILTERS,
    SERVER,
    JOB,
    LIVE_JOB,
]


@pytest.mark.parametrize("options", ALL, ids=lambda options: type(options).__name__)
def test_every_option_object_survives_json(options: Any) -> None:
    for one in option_fields(type(options)).values():
        assert one.default is MISSING or getattr(options, one.name) != one.default, f"{one.name} has its default"
    restored = options_from_dict(type(options), json.loads(json.dumps(options_to_dict(options))))
    assert restored == options
    for name in option_fields(type(options)):
        assert type(getattr(restored, name)) is type(getattr(options, name)), name


def test_a_job_survives_json() -> None:
    assert Job.from_dict(json.loads(json.dumps(JOB.to_dict()))) == JOB
    assert LiveJob.from_dict(json.loads(json.dumps(LIVE_JOB.to_dict()))) == LIVE_JOB


@pytest.mark.parametrize("options", [{"method": print}, {"target": [len]}, {"extra_input": {"a": object()}}])
def test_what_json_cannot_hold_names_the_import_string(options: dict[str, Any]) -> None:
    job = Job.from_options("in.mp4", "out.mp4", **options)
    with pytest.raises(OptionError, match=rf"{next(iter(options))}.*import string package\.module:function"):
        job.to_dict()


def test_unknown_and_missing_fields_are_refused() -> None:
    with pytest.raises(OptionError, match=r"unknown option 'alpa' of DrawOptions; did you mean 'alpha'"):
        options_from_dict(DrawOptions, {"alpa": 1})
    with pytest.raises(OptionError, match="option 'url' of SourceOptions is missing"):
        options_from_dict(SourceOptions, {})
    with pytest.raises(OptionError, match="invalid --alpha 2"):
        options_from_dict(DrawOptions, {"alpha": 2})


def test_flat_options_of_a_live_job_find_their_place() -> None:
    job = LiveJob.from_options(
        [("a", "webcam"), ("b", "-")],
        [("a", "a.mp4")],
        server=SERVER,
        timeout_seconds=2.0,
        crf=20,
        alpha=0.2,
        target=3,
        scale="frame",
        max_explain_fps=5.0,
    )
    assert [(camera.name, camera.timeout_seconds) for camera in job.cameras] == [("a", 2.0), ("b", 2.0)]
    assert job.outputs == (("a", OutputOptions(url="a.mp4", timeout_seconds=2.0, crf=20)),)
    assert (job.draw.alpha, job.explain.target, job.scale, job.max_explain_fps) == (0.2, ("3",), "frame", 5.0)
    assert job.server == SERVER
    with pytest.raises(OptionError, match=r"unknown option 'alpa'.*'alpha'"):
        LiveJob.from_options([("a", "webcam")], alpa=1)
