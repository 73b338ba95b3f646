"""The files in ``deploy/``: linted everywhere, verified and run where the programs for that are there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from scripts.docs_reference import collected_metrics
from streamcam.cli.app import app

from .blocks import ROOT

DEPLOY = ROOT / "deploy"
DOCKERFILES = ("Dockerfile", "Dockerfile.gpu")


def docker_daemon() -> bool:
    """Return whether a Docker daemon answers."""
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("name", DOCKERFILES)
def test_dockerfile_lints(name: str) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    program = str(hadolint) if hadolint.exists() else shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed")
    result = subprocess.run([program, "--no-color", DEPLOY / name], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", DOCKERFILES)
def test_dockerfile_copies_what_the_build_needs(name: str) -> None:
    text = (DEPLOY / name).read_text()
    copied = {word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for word in line.split()}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert copied == {"pyproject.toml", "setup.py", "README.md", "LICENSE", "streamcam"}
    assert all((ROOT / path).exists() for path in copied)
    assert {f"!{path}" for path in copied} <= set(ignored)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", DOCKERFILES)
def test_image_builds_and_runs(name: str, tmp_path: Path) -> None:
    if not docker_daemon():
        pytest.skip("no Docker daemon answers")
    tag = f"streamcam-test-{name.lower().replace('.', '-')}"
    subprocess.run(["docker", "build", "--file", DEPLOY / name, "--tag", tag, ROOT], check=True)
    shutil.copy(ROOT / "samples" / "chelsea.png", tmp_path)
    tmp_path.chmod(0o777)
    run = ["docker", "run", "--rm", "--volume", f"{tmp_path}:/data", tag]
    subprocess.run([*run, "process", "chelsea.png"], check=True)
    assert (tmp_path / "chelsea.gradcam.png").stat().st_size > 1000
    report = subprocess.run([*run, "doctor"], check=True, capture_output=True, text=True).stdout
    assert "no C compiler" not in report


def test_the_ray_files_describe_the_same_cluster() -> None:
    """A head without work and workers, on the image of the Dockerfile with the extra, with one shared folder."""
    compose = yaml.safe_load((DEPLOY / "ray-compose.yml").read_text())
    head, worker = compose["services"]["head"], compose["services"]["worker"]
    for service in (head, worker):
        assert service["build"]["args"] == {"EXTRAS": "cluster"}
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).resolve().is_file()
        assert service["volumes"] == ["./videos:/videos"]
        assert "ports" not in service  # without a token, anyone who reaches them can run code
    assert {"--head", "--num-cpus=0", "--ray-client-server-port=10001"} <= set(head["command"])
    assert worker["command"] == ["--address=head:6379"]
    cluster = yaml.safe_load((DEPLOY / "ray-cluster.yaml").read_text())
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert container["volumeMounts"] == [{"name": "videos", "mountPath": "/videos"}]
        assert [volume["name"] for volume in pod["volumes"]] == ["videos"]
    extras = re.search(r"^ARG EXTRAS=(\w+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert extras is not None
    assert extras[1] == "webrtc"


def test_unit_is_valid(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    program = tmp_path / "streamcam"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "streamcam@.service"
    unit.write_text((DEPLOY / unit.name).read_text().replace("/opt/streamcam/bin/streamcam", str(program)))
    result = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "Unknown" not in result.stderr


def test_unit_and_environment_make_a_valid_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    environment = dict(
        line.split("=", 1) for line in (DEPLOY / "camera.env").read_text().splitlines() if line and line[0] != "#"
    )
    unit = (DEPLOY / "streamcam@.service").read_text()
    (command,) = re.findall(r"^ExecStart=\S+ (.+)$", unit.replace("\\\n", " "), re.MULTILINE)
    line = command.replace("%i", "door")
    for name, value in environment.items():
        line = line.replace(f"${{{name}}}", shlex.quote(value)).replace(f"${name}", value)
    seen = []
    monkeypatch.setattr("streamcam.live.pipeline.run_live", lambda job, **_: seen.append(job) or sys.exit(0))
    monkeypatch.setenv("STREAMCAM_TOKEN", environment["STREAMCAM_TOKEN"])
    result = CliRunner().invoke(app, shlex.split(line))
    assert result.exit_code == 0, result.output
    (job,) = seen
    assert [camera.name for camera in job.cameras] == ["door"]
    assert environment["STREAMCAM_TOKEN"] == "auto"
    assert len(job.server.token) >= 32


def test_proxies_pass_the_host_on_and_do_not_buffer() -> None:
    nginx = (DEPLOY / "nginx.conf").read_text()
    assert "proxy_set_header Host $http_host;" in nginx
    assert "proxy_buffering off;" in nginx
    assert nginx.count("{") == nginx.count("}")
    caddy = (DEPLOY / "Caddyfile").read_text()
    assert "flush_interval -1" in caddy
    assert caddy.count("{") == caddy.count("}")
    caddy_program = shutil.which("caddy")
    if caddy_program is not None:
        command = [caddy_program, "validate", "--adapter", "caddyfile", "--config", DEPLOY / "Caddyfile"]
        subprocess.run(command, check=True, env={**os.environ, "HOME": "/tmp"})


def test_rules_use_metrics_that_exist() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    assert all((DEPLOY / name).exists() for name in config["rule_files"])
    rules = yaml.safe_load((DEPLOY / "streamcam.rules.yml").read_text())
    used = {
        name
        for group in rules["groups"]
        for rule in group["rules"]
        for name in re.findall(r"streamcam_\w+", rule["expr"])
    }
    known = {sample.name for metric in collected_metrics() for sample in metric.samples}
    assert used
    assert used <= known
