"""``streamcam live`` as scripts see it."""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path
from typing import Any, NoReturn

import av
import pytest
from typer.testing import CliRunner, Result

from streamcam.cli.app import app
from streamcam.errors import StreamcamError
from streamcam.job import LiveJob
from streamcam.live.summary import LiveSummary, OutputError
from tests.live.fake_controller import FakeController
from tests.media_helpers import gradient_frame
from tests.rtsp_server import free_port, refusing

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SMALL = ["--model", "tests.pipeline.models:brightness", "--preprocess", "none", "--precision", "float32"]
PATTERN = "lavfi:testsrc2=size=128x96:rate=25"


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["live", *map(str, arguments), *SMALL])


def assert_refused(result: Result, code: int = 1) -> str:
    """Check that a command failed with one line, and return it."""
    assert result.exit_code == code, result.output
    line = result.stderr.strip().splitlines()[-1]
    assert "Traceback" not in result.output
    assert line.startswith("streamcam: ")
    assert sum(text.startswith("streamcam: ") for text in result.stderr.splitlines()) == 1
    return line


def test_json_names_what_the_contract_names() -> None:
    result = cli("one=" + PATTERN, "two=" + PATTERN, "--http", "off", "--duration", "6s", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    names = ("frames_in", "frames_shown", "frames_explained", "frames_dropped", "reconnects")
    assert all(report[name] == sum(source[name] for source in report["sources"]) for name in names)
    assert [source["name"] for source in report["sources"]] == ["one", "two"]
    for latencies in (report["latency_ms"], *(source["latency_ms"] for source in report["sources"])):
        assert set(latencies) == {"p50", "p99", "max"}
    assert report["frames_in"] > 50
    assert report["interrupted"] is False


def test_json_keeps_the_summary_of_a_run_whose_output_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    summary = LiveSummary((), {"frames_in": 9}, (), 1.0, "m", "l", "gradcam", "float32", "cpu", False, ())

    def run(job: LiveJob, serve: Any) -> NoReturn:
        raise OutputError("1 output failed: out.mp4 is gone", summary)

    monkeypatch.setattr("streamcam.live.pipeline.run_live", run)
    result = cli(PATTERN, "--http", "off", "--to", "out.mp4", "--json")
    assert "out.mp4" in assert_refused(result)
    report = json.loads(result.stdout)
    assert (report["frames_in"], report["error"]) == (9, "1 output failed: out.mp4 is gone")


@pytest.mark.slow
def test_without_json_there_is_a_line_a_camera() -> None:
    result = cli("yard=" + PATTERN, "--no-page", "--duration", "1")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "yard: " in result.stderr
    assert "dropped" in result.stderr


def test_what_is_no_source() -> None:
    assert "gopher" in assert_refused(cli("gopher://here/cam", "--http", "off"))
    assert "nowhere.mp4" in assert_refused(cli("nowhere.mp4", "--http", "off"))
    assert "webcam:77" in assert_refused(cli("webcam:77", "--http", "off"))


def test_a_refused_port() -> None:
    line = assert_refused(cli(f"rtsp://me:secret@127.0.0.1:{free_port()}/cam", "--http", "off"))
    assert "cannot be reached" in line
    assert "secret" not in line


def test_a_wrong_login() -> None:
    with refusing("401 Unauthorized", 'WWW-Authenticate: Basic realm="cam"') as port:
        line = assert_refused(cli(f"rtsp://me:secret@127.0.0.1:{port}/cam", "--http", "off"))
    assert "login" in line
    assert "secret" not in line


@pytest.mark.slow
def test_a_mute_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        line = assert_refused(
            cli(f"rtsp://127.0.0.1:{listener.getsockname()[1]}/cam", "--http", "off", "--timeout", "1")
        )
        assert time.monotonic() - began < 30
    assert "did not answer within 1 s" in line


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert str(port) in assert_refused(cli(PATTERN, "--http", port))


@pytest.mark.parametrize("more", [[], ["--quiet"]])
def test_a_generated_token_is_printed(more: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    servers = []

    def run(job: LiveJob, serve: Any) -> NoReturn:
        servers.append(job.server)
        with serve(FakeController()):
            raise StreamcamError("enough")

    monkeypatch.setattr("streamcam.live.pipeline.run_live", run)
    result = cli(PATTERN, "--http", f"0.0.0.0:{free_port()}", "--token", "auto", *more)
    (found,) = re.findall(r"^page: http://\S+/\?token=(\S+)$", result.stderr, re.MULTILINE)
    assert found == servers[0].token
    assert len(found) >= 32


def test_a_short_token() -> None:
    assert "expected at least 16" in assert_refused(cli(PATTERN, "--token", "abc"), code=2)


def test_a_missing_token() -> None:
    assert "--token" in assert_refused(cli(PATTERN, "--http", f"0.0.0.0:{free_port()}"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--http", "nowhere:http"],
        ["--http", "99999"],
        ["--http", "8080", "--no-page"],
        ["--reconnect", "sometimes"],
        ["--reconnect", "-1"],
        ["--duration", "soon"],
        ["--duration", "0"],
        ["--max-latency", "0"],
        ["--max-explain-fps", "-1"],
        ["--json", "--to", "-"],
        ["--to", "-", "--to", "y4m:-"],
        ["--alpha", "3"],
        ["--to", ""],
        ["--segment-time", "0", "--to", "out.mp4"],
        ["--segment-time", "10m"],
        ["--segment-time", "10m", "--to", "www/cam.m3u8"],
    ],
)
def test_values_that_cannot_be_used(arguments: list[str]) -> None:
    assert_refused(cli(PATTERN, *arguments), code=2)


def test_names_and_places() -> None:
    assert "same --to" in assert_refused(cli(PATTERN, "--to", "a.mp4", "--to", "a.mp4"), code=2)
    assert "same --to" in assert_refused(cli(PATTERN, "-o", "a.mp4", "--to", "./a.mp4", "--duration", "1"), code=2)
    assert "same --to" in assert_refused(
        cli(PATTERN, "--to", "a.m3u8", "--to", Path("a.m3u8").resolve(), "--duration", "1"), code=2
    )
    assert "same --to" in assert_refused(
        cli("b=" + PATTERN, "--to", "{camera}.mp4", "--to", "b.mp4", "--duration", "1"), code=2
    )
    assert "SOURCE is empty" in assert_refused(cli(""), code=2)
    assert "{camera}" in assert_refused(cli(PATTERN, PATTERN, "--to", "out.mp4"), code=2)
    assert "same name" in assert_refused(cli("a=" + PATTERN, "a=" + PATTERN), code=2)
    assert "a folder" in assert_refused(cli(PATTERN, "--to", "README.md/b/out.mp4"))
    assert ".xyz" in assert_refused(cli(PATTERN, "--to", "out.xyz"), code=2)


@pytest.mark.slow
def test_segment_time_is_for_the_files_and_missing_folders_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    places = ["--to", "archive/deep/cam.mp4", "--segment-time", "10m", "--to", "www/cam.m3u8"]
    result = cli(PATTERN, *places, "--no-page", "--duration", "3")
    assert result.exit_code == 0, result.output
    (recording,) = (tmp_path / "archive" / "deep").iterdir()
    assert recording.match("cam-*.mp4")
    for path in (recording, tmp_path / "www" / "cam.m3u8"):
        with av.open(str(path)) as container:
            assert sum(1 for _ in container.decode(video=0)) > 5


def test_two_outputs_behind_one_link_are_one(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "here").symlink_to(tmp_path / "there")
    places = ("--to", tmp_path / "there" / "a.mp4", "--to", tmp_path / "here" / "a.mp4")
    assert "same --to" in assert_refused(cli(PATTERN, *places, "--duration", "1"), code=2)


@pytest.mark.parametrize("to", ["in.mp4", "./in.mp4", "link.mp4", "{camera}.mp4"])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_an_input_is_no_output(clip: Path, tmp_path: Path, to: str, scheme: str) -> None:
    mine = tmp_path / "in.mp4"
    mine.write_bytes(clip.read_bytes())
    (tmp_path / "link.mp4").symlink_to(mine)
    line = assert_refused(cli(f"in={scheme}{mine}", "--to", f"{tmp_path}/{to}", "--overwrite"))
    assert line.endswith("is the input itself; choose another name with --to")
    assert mine.read_bytes() == clip.read_bytes()


def test_the_input_of_another_camera_is_no_output_either(clip: Path, tmp_path: Path) -> None:
    mine = tmp_path / "in.mp4"
    mine.write_bytes(clip.read_bytes())
    line = assert_refused(
        cli(f"in={PATTERN}", f"b={mine}", "--to", f"{tmp_path}/{{camera}}.mp4", "--overwrite", "--duration", "1")
    )
    assert "in.mp4 is the input itself" in line
    assert mine.read_bytes() == clip.read_bytes()


@pytest.mark.parametrize("mine", ["live.m3u8", "live-00000.ts"])
def test_a_list_and_its_segments_are_no_input(tmp_path: Path, mine: str) -> None:
    with av.open(str(tmp_path / "live.m3u8"), "w", options={"hls_segment_filename": f"{tmp_path}/live-%05d.ts"}) as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for index in range(10):
            out.mux(stream.encode(gradient_frame(160, 96, index)))
        out.mux(stream.encode())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    line = assert_refused(cli(tmp_path / mine, "--to", tmp_path / "live.m3u8", "--overwrite", "--http", "off"))
    assert f"{mine} is the input itself" in line
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
