"""An overloaded machine, simulated: costs of CPU time a frame, and what the controller makes of them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import pytest

from streamcam.live import load
from streamcam.live.load import LoadController, LoadGovernor, LoadSample
from streamcam.live.scheduler import FairScheduler
from streamcam.notes import collect_notes
from streamcam.sources.cameras.thinning import FrameLimit

CORES = 2
DECODE_SECONDS, DRAW_SECONDS, MODEL_SECONDS = 0.0005, 0.002, 0.0049


def run_periods(
    controller: LoadController, rates: list[float], *, seconds: int = 40, wants_model: bool = True, late: float = 0.0
) -> tuple[float, float]:
    """Simulate some seconds; return the frames shown and explained a second at the end."""
    shown = explained = 0.0
    for _ in range(seconds):
        limit = controller.limit.max_fps
        wanted = [rate if limit is None else min(rate, limit) for rate in rates]
        decode = DECODE_SECONDS * sum(rates)
        possible = max(0.0, CORES - decode) / DRAW_SECONDS
        shown = min(sum(wanted), possible)
        draw = DRAW_SECONDS * shown
        # Video goes first.
        explained = min(shown, max(0.0, CORES - decode - draw) / MODEL_SECONDS) if wants_model else 0.0
        controller.update(
            LoadSample(
                seconds=1.0,
                decode_seconds=decode,
                draw_seconds=draw,
                received=tuple(int(rate) for rate in rates),
                shown=int(shown),
                late=int(late * sum(rates)),
                unexplained=int(shown - explained) if wants_model else 0,
            )
        )
    return shown, explained


def test_twelve_cameras_fit() -> None:
    controller = LoadController(CORES)
    shown, explained = run_periods(controller, [25.0] * 12)
    assert controller.limit.max_fps is None
    assert (shown, explained >= 240) == (300, True)
    assert 12 <= controller.num_fitting <= 15


@pytest.mark.parametrize("count", [16, 24, 32])
def test_past_capacity_the_model_keeps_its_work(count: int) -> None:
    most = run_periods(LoadController(CORES), [25.0] * 12)[1]
    controller = LoadController(CORES)
    shown, explained = run_periods(controller, [25.0] * count)
    assert explained >= 0.9 * most
    assert controller.limit.max_fps is not None
    assert shown / count >= 5


def test_a_model_without_work_leaves_the_machine_to_the_video() -> None:
    controller = LoadController(CORES)
    shown, _ = run_periods(controller, [25.0] * 24, wants_model=False)
    assert (shown, controller.limit.max_fps) == (600, None)


def test_slow_cameras_keep_every_frame_and_fast_ones_share_the_rest() -> None:
    controller = LoadController(CORES)
    run_periods(controller, [2.0] * 10 + [50.0] * 16)
    assert controller.limit.max_fps is not None
    assert 5 < controller.limit.max_fps < 25


def test_cameras_that_cannot_even_be_decoded_send_key_frames_only() -> None:
    controller = LoadController(CORES)
    run_periods(controller, [25.0] * 200)
    assert controller.limit.max_fps == 1.0


@pytest.mark.parametrize(("count", "decodes_all"), [(24, True), (120, False)])
def test_decoding_is_saved_once_it_takes_most_of_the_budget(count: int, *, decodes_all: bool) -> None:
    controller = LoadController(CORES)
    run_periods(controller, [25.0] * count)
    assert controller.limit.decodes_all == decodes_all
    run_periods(controller, [25.0] * 12)
    assert controller.limit == FrameLimit()


def test_all_frames_return_with_the_capacity() -> None:
    controller = LoadController(CORES)
    run_periods(controller, [25.0] * 32)
    assert controller.limit.max_fps is not None
    run_periods(controller, [25.0] * 8)
    assert controller.limit.max_fps is None


def test_late_frames_limit_the_cameras_but_not_below_five_a_second() -> None:
    controller = LoadController(CORES)
    run_periods(controller, [25.0] * 4, late=0.5)
    assert controller.limit.max_fps == 5
    run_periods(controller, [25.0] * 4)
    assert controller.limit.max_fps is None


@dataclass
class Source:
    """A camera whose work grows with each reading, as of ``cost`` CPU seconds a frame."""

    cost: float
    frames: int = 0
    counted: threading.Event = field(default_factory=threading.Event)

    @property
    def decode_cpu_seconds(self) -> float:
        return 0.0

    @property
    def draw_cpu_seconds(self) -> float:
        return self.frames * self.cost

    @property
    def counts(self) -> dict[str, int]:
        self.frames += 100
        return dict.fromkeys(("frames_in", "frames_shown", "frames_explained"), self.frames) | {
            "frames_paused": 0,
            "frames_dropped": 0,
        }

    @property
    def frames_thinned(self) -> int:
        return 0


@pytest.mark.parametrize(
    ("cost", "subjects"), [(1.0, ["2 cameras are"]), (1.0, ["1 camera is"]), (1e-9, [])], ids=["two", "one", "none"]
)
def test_an_overload_is_reported_once(monkeypatch: pytest.MonkeyPatch, cost: float, subjects: list[str]) -> None:
    monkeypatch.setattr(load, "_PERIOD_SECONDS", 0.01)
    governor, messages = LoadGovernor(1, None), []
    sources = [Source(cost)] if subjects == ["1 camera is"] else [Source(cost), Source(cost)]

    def run() -> None:
        with collect_notes(messages.append):
            governor.run(sources, FairScheduler(1, 1.0), on_cpu=True)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while sources[0].frames < 2000:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    governor.stop()
    thread.join(60)
    starts = [f"{subject} too many for this machine: 0 fit at full rate" for subject in subjects]
    assert [line.partition("; ")[0] for line in messages] == starts
