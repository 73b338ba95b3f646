"""Live runs end to end, with a small model whose heatmap is known."""

from __future__ import annotations

import threading
import time

import av
import numpy as np
import pytest

from streamcam.engine.runtime import replica as replicas
from streamcam.errors import (
    DeviceError,
    LayerError,
    MethodError,
    ModelError,
    SinkError,
    SourceError,
    TargetError,
)
from streamcam.live.summary import OutputError
from streamcam.options import OutputOptions, ServerOptions
from streamcam.sinks.push.worker import WorkerError, WorkerProcess

from ..rtsp_server import RtspServer, free_port
from .live_runs import PATTERN, job, run_in_thread

pytestmark = pytest.mark.slow


def test_everything_is_counted():
    with run_in_thread(job(PATTERN)) as run:
        run.wait_for_explained(10)
        summary = run.stop().as_dict()
    assert summary["frames_in"] >= summary["frames_shown"] >= summary["frames_explained"] >= 10
    assert summary["frames_in"] - summary["frames_shown"] - summary["frames_dropped"] <= 5  # those on their way
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p99"] <= summary["latency_ms"]["max"] <= 501
    (source,) = summary["sources"]
    assert source["name"] == "cam1"
    assert source["frames_in"] == summary["frames_in"]
    assert (summary["method"], summary["layer"]) == ("gradcam", "evidence")


@pytest.mark.slow
def test_it_ends_after_its_duration():
    began = time.monotonic()
    with run_in_thread(job(PATTERN, duration_seconds=1.5)) as run:
        summary = run.result()
    assert summary.wall_seconds >= 1.5
    assert time.monotonic() - began < 60
    assert summary.total["frames_in"] > 0


def test_a_file_as_fast_as_it_can_be_read(clip):
    with run_in_thread(job(str(clip), camera={"realtime": False})) as run:
        summary = run.result()
    assert summary.total["frames_in"] == 50


@pytest.mark.slow
def test_a_slow_model_delays_no_camera(monkeypatch):
    slow = replicas.DeviceReplica.__call__

    def call(self, *args, **kwargs):
        time.sleep(0.25)
        return slow(self, *args, **kwargs)

    monkeypatch.setattr(replicas.DeviceReplica, "__call__", call)
    with run_in_thread(job(PATTERN)) as run:
        run.wait_for_explained(1)
        before = run.controller.status().cameras[0]
        run.wait_for_explained(12)
        after = run.controller.status().cameras[0]
        summary = run.stop()
    shown, explained = after.frames_shown - before.frames_shown, after.frames_explained - before.frames_explained
    assert shown > 2 * explained
    assert after.frames_dropped == before.frames_dropped
    assert summary.total["latency_ms"]["max"] <= 501


@pytest.mark.slow
def test_no_more_explained_than_wished():
    with run_in_thread(job(PATTERN, max_explain_fps=5)) as run:
        run.wait_for_explained(1)
        before, since = run.controller.status().cameras[0], time.monotonic()
        run.wait_for_explained(10)
        rate = (run.controller.status().cameras[0].frames_explained - before.frames_explained) / (
            time.monotonic() - since
        )
    assert rate < 6.5


@pytest.mark.slow
def test_several_cameras_of_several_sizes_each_with_a_fair_share():
    urls = [f"c{n}=lavfi:testsrc2=size={size}:rate=25" for n, size in enumerate(("128x96", "96x128", "128x96"))]
    with run_in_thread(job(*urls, max_explain_fps=15)) as run:
        run.wait_for_explained(3)
        before = run.controller.status().cameras
        run.wait_for_explained(20)
        after = run.controller.status().cameras
    shares = [a.frames_explained - b.frames_explained for a, b in zip(after, before, strict=True)]
    assert max(shares) <= 1.3 * min(shares)
    assert [(c.width, c.height) for c in after] == [(128, 96), (96, 128), (128, 96)]


def test_a_dead_camera_leaves_the_others_alone():
    with run_in_thread(job("dead=rtsp://127.0.0.1:9/none", f"well={PATTERN}", camera={"reconnect": "forever"})) as run:
        status = run.wait_until(lambda status: status.cameras[1].frames_explained >= 10)
        summary = run.stop()
    assert status.cameras[0].state in ("opening", "lost")
    assert "127.0.0.1:9" in status.cameras[0].last_error
    assert summary.sources[0]["frames_in"] == 0
    assert summary.sources[1]["frames_explained"] >= 10


@pytest.mark.slow
def test_a_camera_that_is_given_up_is_reported_and_its_outputs_are_closed(clip, tmp_path):
    out = tmp_path / "short.mkv"
    outputs = (("short", OutputOptions(url=str(out))),)
    cameras = (f"short={clip}", f"long={PATTERN}", "dead=rtsp://127.0.0.1:9/x")
    with run_in_thread(job(*cameras, outputs=outputs, camera={"reconnect": "never"})) as run:
        run.wait_until(lambda status: status.outputs[0].state == "ended")
        run.wait_until(lambda status: any(line.startswith("dead failed and is disabled: ") for line in run.messages))
        summary = run.stop()
    assert "127.0.0.1:9" in summary.sources[2]["last_error"]
    with av.open(str(out)) as container:
        # Frames that fill a pause of the camera, as while the model loads, are not among those of the camera.
        assert sum(1 for _ in container.decode(video=0)) >= summary.outputs[0]["frames"] > 0


@pytest.mark.slow
def test_a_late_camera_is_tried_again_while_others_run():
    """Under ``--reconnect auto`` too, which gives up a camera that was never reached if it is the only one."""
    port = free_port()
    with run_in_thread(job(f"well={PATTERN}", f"late=rtsp://127.0.0.1:{port}/cam")) as run:
        run.wait_until(lambda status: status.cameras[0].frames_in and status.cameras[1].state == "lost")
        with RtspServer(port) as server:
            server.start((160, 96), 25)
            status = run.wait_until(lambda status: status.cameras[1].frames_explained >= 3)
        assert status.cameras[1].state == "live"
        run.stop()


@pytest.mark.slow
def test_the_only_frame_of_a_slow_camera_is_explained_once_the_model_is_ready():
    with run_in_thread(job("lavfi:testsrc2=size=128x96:rate=1/59")) as run:
        status = run.wait_until(lambda status: status.cameras[0].targets)
        assert status.cameras[0].frames_in == status.cameras[0].frames_explained
        run.stop()


@pytest.mark.slow
def test_it_ends_when_no_output_is_left(tmp_path):
    out = tmp_path / "out.mp4"

    def submit(self, image, pts):
        raise SinkError("the disk is full")

    outputs = (("cam1", OutputOptions(url=str(out))),)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SinkError, match="no output is left"):
        patch.setattr("streamcam.sinks.push.worker.WorkerProcess.serve", lambda self: submit(self, None, 0))
        with run_in_thread(job(PATTERN, outputs=outputs)) as run:
            run.result()


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["once, and found again", "still when the end is asked for"])
def test_a_peer_that_was_lost_does_not_spoil_a_run_that_ends(monkeypatch, lost):
    again, server = threading.Event(), []

    def serve(self):
        server.append(self)
        if len(server) == 1:
            raise WorkerError("the peer is gone", lost=True)
        again.set()
        assert self._closing.wait(60)
        if lost.startswith("still"):
            raise WorkerError("the peer is gone again", lost=True)

    monkeypatch.setattr(WorkerProcess, "serve", serve)
    outputs = (("cam1", OutputOptions(url="rtsp://127.0.0.1:9/x")),)
    with run_in_thread(job(PATTERN, outputs=outputs)) as run:
        assert again.wait(60)
        (output,) = run.stop().outputs
    assert "the peer is gone" in output["last_error"]
    assert output["restarts"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("server", [None, ServerOptions()], ids=["alone", "page"])
@pytest.mark.parametrize("names", [("bad.mp4", "good.mp4"), ("good.mp4", "bad.mp4"), ("bad.mp4",)], ids="+".join)
def test_a_file_that_cannot_be_completed_is_a_failure(monkeypatch, tmp_path, names, server):
    begun = threading.Barrier(len(names) + 1)
    bad_has_ended = threading.Event()

    def serve(self):
        begun.wait(60)
        assert self._closing.wait(60)
        if "bad" in self._name:
            bad_has_ended.set()
            raise SinkError("the disk is full")
        assert bad_has_ended.wait(60)

    monkeypatch.setattr(WorkerProcess, "serve", serve)
    outputs = tuple(("cam1", OutputOptions(url=str(tmp_path / name))) for name in names)
    with run_in_thread(job(PATTERN, outputs=outputs, server=server)) as run:
        begun.wait(60)
        with pytest.raises(OutputError, match=r"^1 output failed: \S*bad\.mp4: the disk is full$") as raised:
            run.stop()
    assert [output["last_error"] for output in raised.value.summary.outputs if "bad" in output["url"]] == [
        "the disk is full"
    ]


def test_the_first_connection_must_succeed():
    with run_in_thread(job("rtsp://user:secret@127.0.0.1:9/none")) as run, pytest.raises(SourceError) as raised:
        run.result()
    assert "127.0.0.1:9" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"explain": {"layer": "nowhere"}}, LayerError),
        ({"explain": {"target": ("no such class",)}}, TargetError),
        ({"explain": {"method": "nothing"}}, MethodError),
    ],
)
def test_what_cannot_be_explained_ends_it(change, error):
    with run_in_thread(job(PATTERN, **change)) as run, pytest.raises(error):
        run.result()


def test_a_model_that_fails_ends_it(monkeypatch):
    calls = []

    def call(self, *args, **kwargs):
        calls.append(1)
        if len(calls) > 5:
            raise ModelError("the model fell over")
        return slow(self, *args, **kwargs)

    slow = replicas.DeviceReplica.__call__
    monkeypatch.setattr(replicas.DeviceReplica, "__call__", call)
    with run_in_thread(job(PATTERN)) as run, pytest.raises(ModelError, match="fell over"):
        run.result()


@pytest.mark.slow
def test_a_device_that_fails_is_disabled_and_its_frames_go_to_the_others(monkeypatch):
    monkeypatch.setenv("STREAMCAM_CPU_DEVICES", "2")
    failed, explained = [], []

    def call(self, images, *args):
        if self.device == "cpu:1":
            failed.append(images)
            raise DeviceError("it fell off")
        explained.append(images)
        return healthy(self, images, *args)

    healthy = replicas.DeviceReplica.__call__
    monkeypatch.setattr(replicas.DeviceReplica, "__call__", call)
    with run_in_thread(job(PATTERN, explain={"device": "all"})) as run:
        run.wait_until(lambda status: any("cpu:1 failed" in line for line in run.messages))
        run.wait_for_explained(5)
        assert run.controller.status().device == "cpu:0"
        run.controller.change(method="hirescam")
        run.wait_for_explained(5)
        summary = run.stop()
    assert 1 <= len(failed) <= 2  # another batch may have been under way
    for images in failed:
        assert any(np.array_equal(images, others) for others in explained)
    assert [note for note in summary.notes if "cpu:1" in note] == ["cpu:1 failed and is disabled: it fell off"]
    assert summary.device == "cpu:0"


@pytest.mark.slow
def test_no_thread_is_left():
    before = {thread.name for thread in threading.enumerate()}
    with run_in_thread(job(PATTERN, f"b={PATTERN}")) as run:
        run.wait_for_explained(3)
        run.stop()
    left = [t.name for t in threading.enumerate() if t.name.startswith("streamcam") and t.name not in before]
    assert left == []


@pytest.mark.slow
def test_a_file_is_shown_and_explained_to_its_last_frame(clip):
    with run_in_thread(job(str(clip))) as run:
        summary = run.result()
    assert summary.total["frames_shown"] + summary.total["frames_dropped"] == 50
    assert summary.total["frames_explained"] > 0
