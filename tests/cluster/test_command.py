"""``process --cluster`` without a cluster: errors of one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.runner import cli, one_line


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--cluster", "head:6379"], 2, "invalid --cluster 'head:6379'; expected auto, local or ray://HOST:10001"),
        (["--cluster", "ray://127.0.0.1:9"], 1, "ray://127.0.0.1:9 does not answer: Connection refused; check that"),
        (["--cluster", "local", "--inspect", "a.html"], 2, "--cluster with --inspect"),
        (["--cluster", "local", "--encoder", "nvenc"], 2, "--encoder nvenc with --cluster; expected cpu"),
        (["clip.mp4", "--cluster", "local"], 2, "--cluster with several inputs; expected one input"),
        (["--cluster", "local", "-o", "nosuch://bucket/out.mp4"], 1, "cannot be written: Protocol not known: nosuch"),
        (["--cluster", "local", "-o", "none/out.mp4"], 1, "the folder none does not exist"),
    ],
)
def test_errors(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    result = cli("process", clip, *arguments)
    assert result.exit_code == code, result.output
    assert message in one_line(result.stderr)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_names_the_record(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)

    def interrupt(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("streamcam.cli.cluster.run_on_cluster", interrupt)
    result = cli("process", clip, "-o", "out.mp4", "--cluster", "local")
    assert result.exit_code == 130
    assert "chunks that are done are in out.mp4.streamcam: continue with --resume" in one_line(result.stderr)
