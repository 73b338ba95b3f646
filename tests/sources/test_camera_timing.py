"""Cameras whose frames come slowly, late, or with a clock; and too many of them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import pytest

from streamcam.sources.cameras.capture_times import TransportDelay
from streamcam.sources.cameras.silence import SilenceLimit
from streamcam.sources.cameras.thinning import NO_LIMIT, FrameLimit, FrameThinner

from ..mjpeg_server import mjpeg_camera
from ..rtsp_replay import ReplayServer, encode_clip
from .camera_reader import error_of, read_camera

LARGE = 640, 480
"""Large enough for FFmpeg to recognise one JPEG by itself."""


@pytest.fixture(scope="module")
def units() -> list[bytes]:
    """Two seconds of video with a key frame every ten frames."""
    return encode_clip(64, 48, frames=50, gop=10)


@pytest.fixture
def make_server(units: list[bytes]) -> Iterator[Callable[..., ReplayServer]]:
    servers: list[ReplayServer] = []

    def make(**options: object) -> ReplayServer:
        servers.append(ReplayServer(units, **options))  # type: ignore[arg-type]
        return servers[-1]

    yield make
    for server in servers:
        server.__exit__(None, None, None)


@pytest.mark.slow
def test_a_slow_camera_is_shown_from_its_first_frame_and_is_never_lost() -> None:
    """One frame in 0.8 s, with a timeout of 0.3 s: its own pace counts."""
    with mjpeg_camera([LARGE] * 50, rate=1.25) as url, read_camera(url, timeout_seconds=0.3) as door:
        door.wait_until(lambda: door.frames, "frame")
        assert door.ages[0] < 0.8  # before the second frame was sent
        door.wait_for_frames(2)
        assert (door.messages, door.camera.reconnects, door.camera.state) == ([], 0, "live")


def test_the_limit_of_silence_follows_the_pace() -> None:
    limit = SilenceLimit(5.0)
    assert limit.seconds == 90  # its pace is not known yet
    limit.record_data(0.0)
    limit.record_data(60.0)
    assert limit.seconds == 180
    for k in range(20):
        limit.record_data(61.0 + k / 25)
    assert limit.seconds == 180  # a burst is no pace
    for k in range(800):
        limit.record_data(62.0 + k / 25)
    assert limit.seconds == 5


def test_a_camera_that_returns_after_a_silence_may_be_silent_for_longer() -> None:
    limit = SilenceLimit(5.0)
    for k in range(20):
        limit.record_data(k / 25)
    granted = [limit.seconds]
    for _ in range(4):
        limit.record_loss(10.0)
        granted.append(limit.seconds)
    assert granted == [5, 15, 45, 135, 300]


def test_the_time_between_two_connections_is_no_pace() -> None:
    limit = SilenceLimit(5.0)
    limit.record_data(0.0)
    limit.record_data(0.04)
    limit.start_connection()
    limit.record_data(100.0)
    assert limit.seconds == 5


@pytest.mark.slow
def test_a_silent_camera_is_lost_though_its_connection_stays_open(make_server: Callable[..., ReplayServer]) -> None:
    server = make_server()
    with read_camera(server.url, timeout_seconds=1.0) as door:
        door.wait_for_frames(20)  # its pace is known
        server.stall.set()
        door.wait_until(lambda: door.camera.state == "lost", "loss")
        assert door.messages[0].startswith(f"cam1: {server.url} sent no data for ")
        server.stall.clear()
        door.wait_until(lambda: door.camera.state == "live", "return")


@pytest.mark.slow
def test_frames_after_a_stall_are_as_old_as_they_are(make_server: Callable[..., ReplayServer]) -> None:
    server = make_server()
    with read_camera(server.url, timeout_seconds=20.0) as door:
        door.wait_for_frames(20)
        server.stall.set()
        door.wait_until(lambda: time.monotonic() - door.frames[-1].arrival_time > 1.0, "stall")
        stalled = len(door.frames)
        server.stall.clear()
        door.wait_for_frames(25)
    assert door.camera.latency_source == "arrival"
    assert max(door.ages[stalled:]) > 0.8  # the first frames after it, which were sent in its first moments
    # They count as late, not as new: that is what they are dropped by.
    assert door.frames[stalled].arrival_time - door.frames[stalled - 1].arrival_time < 0.9


def test_sender_reports_tell_when_frames_were_captured(make_server: Callable[..., ReplayServer]) -> None:
    with read_camera(make_server(delay_seconds=0.7).url) as door:
        door.wait_for_frames(10)
        assert door.camera.latency_source == "capture"
    assert all(age > 0.69 for age in door.ages[5:])


def test_a_camera_whose_clock_is_wrong_is_not_believed(make_server: Callable[..., ReplayServer]) -> None:
    with read_camera(make_server(delay_seconds=3600.0).url) as door:
        door.wait_for_frames(10)
        assert door.camera.latency_source == "arrival"
    assert max(door.ages) < 60


def test_what_arrives_later_than_usual_is_late_by_as_much() -> None:
    delay = TransportDelay()
    assert [delay.update(Fraction(k, 25), 7 + k / 25) for k in range(50)] == pytest.approx([0.0] * 50, abs=1e-6)
    stalled = [delay.update(Fraction(k, 25), 12.0) for k in range(50, 125)]
    assert stalled == pytest.approx([3 - j / 25 for j in range(75)], abs=1e-6)
    assert delay.update(Fraction(125, 25), 12.0) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("speed", [0.5, 0.9, 2.0])
def test_a_stream_whose_clock_runs_wrong_is_not_late(speed: float) -> None:
    delay = TransportDelay()
    found = [delay.update(Fraction(k) * Fraction(speed) / 25, k / 25) for k in range(25 * 60)]
    assert max(found[25 * 41 :]) == 0 if speed < 1 else max(found) < 0.1


def test_a_stream_that_starts_over_is_not_late() -> None:
    delay = TransportDelay()
    delay.update(Fraction(5000), 1.0)
    assert delay.update(Fraction(0), 1.04) == 0


@pytest.mark.parametrize(("accepted", "wanted"), [("udp", "auto"), ("udp", "udp"), ("tcp", "auto"), ("tcp", "tcp")])
def test_transports_of_rtsp(make_server: Callable[..., ReplayServer], accepted: str, wanted: str) -> None:
    server = make_server(transports=(accepted,))
    with read_camera(server.url, rtsp_transport=wanted) as door:
        door.wait_for_frames(5)


def test_a_transport_that_the_camera_refuses(make_server: Callable[..., ReplayServer]) -> None:
    message = error_of(make_server(transports=("udp",)).url, rtsp_transport="tcp")
    assert message.startswith("rtsp://127.0.0.1:")


def test_frames_are_left_out_evenly() -> None:
    thinner = FrameThinner()
    kept = [k for k in range(100) if thinner.keeps(k / 25, FrameLimit(8.0))]
    assert {b - a for a, b in itertools.pairwise(kept)} == {3, 4}
    assert len(kept) == 32
    assert all(thinner.keeps(k / 25, NO_LIMIT) for k in range(100, 110))


def test_a_jump_in_time_does_not_stop_the_frames() -> None:
    thinner = FrameThinner()
    assert thinner.keeps(1000.0, FrameLimit(5.0))
    assert thinner.keeps(3.0, FrameLimit(5.0))
    assert not thinner.keeps(3.1, FrameLimit(5.0))


def decoded(
    thinner: FrameThinner,
    max_fps: float | None,
    group: int,
    count: int = 500,
    start: int = 0,
    *,
    decodes_all: bool = False,
) -> list[int]:
    """Return the packets that are decoded, of 25 a second with a keyframe in each ``group``."""
    limit = FrameLimit(max_fps, decodes_all)
    return [
        k
        for k in range(start, start + count)
        if thinner.decodes(1 + k / 25, is_keyframe=k % group == 0, limit=limit, fps=25.0)
    ]


@pytest.mark.parametrize(("max_fps", "group"), [(8.0, 50), (8.0, 25), (3.0, 12), (8.0, 1)])
def test_if_most_frames_go_the_first_of_each_group_are_decoded(max_fps: float, group: int) -> None:
    thinner = FrameThinner()
    decoded(thinner, None, group, count=2 * group)  # two keyframes tell how far the next one is
    kept = decoded(thinner, max_fps, group, start=2 * group)
    assert len(kept) == pytest.approx(20 * max_fps, rel=0.1)
    for k in kept:
        assert k % group == 0 or k - 1 in kept  # what it refers to is decoded too


@pytest.mark.parametrize(("max_fps", "group"), [(16.0, 25), (8.0, 250), (None, 25)])
def test_with_few_to_drop_or_rare_key_frames_all_are_decoded(max_fps: float | None, group: int) -> None:
    thinner = FrameThinner()
    decoded(thinner, None, group)
    assert len(decoded(thinner, max_fps, group, start=500)) == 500


def test_while_decoding_fits_all_are_decoded_and_dropped_evenly() -> None:
    thinner = FrameThinner()
    decoded(thinner, None, 50)
    assert len(decoded(thinner, 4.0, 50, start=500, decodes_all=True)) == 500
    kept = [k for k in range(200) if thinner.keeps(k / 25, FrameLimit(4.0))]
    assert {b - a for a, b in itertools.pairwise(kept)} == {6, 7}


def test_decoding_begins_again_at_a_key_frame() -> None:
    thinner = FrameThinner()
    decoded(thinner, 5.0, 50, count=520)  # the allowance of the last group is used up
    assert decoded(thinner, None, 50, start=520, count=60) == list(range(550, 580))


@pytest.mark.slow
def test_too_many_cameras_show_fewer_frames_then_all_again(make_server: Callable[..., ReplayServer]) -> None:
    allowed = [NO_LIMIT]
    with read_camera(make_server().url, frame_limit=lambda: allowed[0]) as door:
        door.wait_for_frames(15)
        allowed[0] = FrameLimit(5.0, decodes_all=False)  # two of the ten frames from key to key
        door.wait_until(lambda: door.camera.thinned > 30, "frames that are dropped")
        allowed[0] = NO_LIMIT
        before = len(door.frames)
        door.wait_for_frames(15)
        assert [b.pts - a.pts for a, b in itertools.pairwise(door.frames[before + 2 :])].count(3600) > 8
        assert door.camera.thinned == door.camera.dropped
        assert door.camera.skipped == 0


@pytest.mark.parametrize("num_keyframes", [0, 1, 4])
def test_a_stream_whose_keyframes_end_is_decoded_again(num_keyframes: int) -> None:
    """Raw frames have no keyframes, and some cameras send a single one: skipping must not wait for the next."""
    thinner = FrameThinner()
    decoded = [
        thinner.decodes(
            1 + n / 10,
            is_keyframe=n % 10 == 0 and n // 10 < num_keyframes,
            limit=FrameLimit(1.0, decodes_all=False),
            fps=10.0,
        )
        for n in range(200)
    ]
    assert all(decoded[-50:])
