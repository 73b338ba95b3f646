"""A slice of the fuzzer's cases, and faults that it must find. ``make fuzz`` runs them all."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from .cases import KINDS, make_case
from .harness import MAX_BYTES, Report, Worker, add_to, check_answer, run_cases, start_worker
from .mutate import MUTATIONS, damage_tail
from .seeds import IMAGES, VIDEOS, image_seed, pixel_format_seed, pixel_formats, video_seed

pytestmark = pytest.mark.slow

NUM_CASES = 240
MAX_SECONDS = 200.0
"""Seconds that a case may take here: the machine may be busy."""


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with start_worker() as started:
        yield started


def is_light(number: int) -> bool:
    """Frames of 66 million pixels take seconds each: they are left to the whole run."""
    return "7680x8640" not in make_case(number).name


@pytest.mark.timeout(900)
def test_a_slice_of_the_cases_breaks_no_rule(worker: Worker) -> None:
    report = Report()
    requests = ({"number": number} for number in range(NUM_CASES) if is_light(number))
    for answer, findings in run_cases(worker, requests, max_seconds=MAX_SECONDS):
        add_to(report, answer, findings)
    assert not report.findings, "\n".join(map(str, report.findings))
    assert set(report.kinds) == set(KINDS)
    assert {"explain", "camera", "process.gif", "process.webp", "process.gif a part"} <= set(report.uses)
    assert report.outcomes["done"] > report.num_cases / 4
    assert report.outcomes["refused"] > report.num_cases / 10


@pytest.mark.parametrize(
    ("fault", "rule"),
    [("abort", "abort"), ("memory", "memory"), ("foreign", "foreign exception"), ("lost", "lost frames")],
)
@pytest.mark.timeout(600)
def test_faults_are_found(worker: Worker, fault: str, rule: str) -> None:
    # Within the limit of memory of a real run, with a lower limit.
    limit = 10**8 if fault == "memory" else MAX_BYTES
    ((_, findings),) = run_cases(worker, [{"fault": fault}], max_seconds=MAX_SECONDS, max_bytes=limit)
    assert [finding.rule for finding in findings] == [rule]


@pytest.mark.timeout(600)
def test_a_hang_is_found_and_the_next_case_runs(worker: Worker) -> None:
    ((_, findings),) = run_cases(worker, [{"fault": "hang"}], max_seconds=1)
    assert [finding.rule for finding in findings] == ["hang"]
    ((answer, findings),) = run_cases(worker, [{"fault": "none"}], max_seconds=MAX_SECONDS)
    assert (answer["outcome"], findings) == ("done", [])


def test_an_error_of_two_lines_and_a_false_count_are_found() -> None:
    answer = {"outcome": "refused", "error": "a\nb", "frames": 0}
    assert [finding.rule for finding in check_answer(0, answer, MAX_BYTES)] == ["foreign exception"]
    answer = {"outcome": "done", "frames": 3, "frames_in_file": 2}
    assert [finding.rule for finding in check_answer(0, answer, MAX_BYTES)] == ["false count"]


def test_a_case_is_the_same_each_time() -> None:
    for number in range(0, 60, 7):
        assert make_case(number) == make_case(number)


def test_mutations_change_the_file() -> None:
    data = bytes(range(256)) * 8
    for mutation in MUTATIONS:
        assert any(mutation(data, random.Random(n)) != data for n in range(3)), mutation.__name__
    changed, intact = damage_tail(data, random.Random(1))
    assert changed[:intact] == data[:intact]
    assert changed != data


def test_most_seeds_can_be_made() -> None:
    """A seed that this build of FFmpeg cannot encode is skipped; a mistake here would skip all."""
    assert sum(video_seed(name) is not None for name in VIDEOS) > 0.8 * len(VIDEOS)
    assert sum(image_seed(name) is not None for name in IMAGES) > 0.8 * len(IMAGES)
    assert sum(pixel_format_seed(name) is not None for name in pixel_formats()) > 200
