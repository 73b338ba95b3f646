"""XLA's own compiler, on the CPU, in processes of their own: its flags hold for a whole process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamcam.xla_cache import keep_xla_programs

pytestmark = pytest.mark.slow

PREPARE = """
import json, sys, threading
from fractions import Fraction
import numpy as np
from streamcam.engine.explainer import FrameExplainer
from streamcam.engine.runtime import background_xla
from streamcam.engine.runtime.background_xla import THREAD_NAME, XlaFinding
from streamcam.frames import SourceInfo
from streamcam.options import ExplainOptions, ModelOptions

background_xla.has_xla = lambda device: True
explainer = FrameExplainer(ModelOptions(), ExplainOptions(batch=2, precision="float32"))
prepared = explainer.prepare(SourceInfo("x", 224, 224, "yuv420p", Fraction(1, 25), num_frames=10**6))
images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
(replica,) = prepared.replicas
"""

COMPILE = """
plain = replica(images).maps
background_xla.seconds_in_turns = lambda *executables: (1.0, 0.5)
assert prepared.compile_now()
compiled = replica(images).maps
print(json.dumps(float(np.abs(compiled - plain).max() / np.abs(plain).max())))
"""

END_MEANWHILE = """
prepared.xla._expected = XlaFinding(1.5, 1.0, 0.0)
loaded, load = threading.Event(), prepared.xla._load

def load_and_tell(plain):
    compiled = load(plain)
    loaded.set()
    return compiled

prepared.xla._load = load_and_tell
for _ in range(4):
    replica(images)
assert loaded.wait(120)
assert any(thread.name == THREAD_NAME for thread in threading.enumerate())
print("end", flush=True)
sys.exit(3)
"""


RETURN_MEANWHILE = """
import atexit, ctypes, sys, threading
from streamcam.engine.runtime import background_xla
from streamcam.tf import tf
from tensorflow.python.data.experimental.ops import testing

libc = ctypes.CDLL(None)
atexit.register(lambda: libc.on_exit(libc.sleep, None))  # sleeps as many seconds as the exit status says
background_xla._survive_exit()
graph = tf.Graph()
with graph.as_default():
    sleeping = tf.data.Dataset.range(1).apply(testing.sleep(2_000_000))
    value = tf.compat.v1.data.make_one_shot_iterator(sleeping).get_next()
session = tf.compat.v1.Session(graph=graph)
started = threading.Event()
def run():
    started.set()
    session.run(value)
thread = threading.Thread(target=run, name=background_xla.THREAD_NAME, daemon=True)
thread.start()
started.wait(60)
assert thread.is_alive()
print("end", flush=True)
sys.exit(6)
"""


def run_script(tmp_path: Path, script: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run a script whose XLA compiles for the CPU; return the folder of compiled programs, too."""
    environment = {"TF_XLA_FLAGS": "--tf_xla_cpu_global_jit"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMCAM_CACHE", str(tmp_path / "cache"))
        folder = keep_xla_programs(environment, ["a GPU"])
    assert folder is not None
    flags = environment["TF_XLA_FLAGS"].replace("=GPU,", "=CPU,")
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TF_XLA_FLAGS": flags, "STREAMCAM_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done, folder


def test_what_it_compiled_gives_the_same_maps_and_is_kept(tmp_path: Path) -> None:
    done, folder = run_script(tmp_path, PREPARE + COMPILE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) < 1e-4
    (program,) = folder.iterdir()
    assert program.match("streamcam*.pb")
    assert program.stat().st_size > 1_000_000
    written = program.stat().st_mtime_ns
    done, _ = run_script(tmp_path, PREPARE + COMPILE)
    assert done.returncode == 0, done.stderr
    assert [path.stat().st_mtime_ns for path in folder.iterdir()] == [written]


def test_the_end_of_a_process_does_not_wait_for_it(tmp_path: Path) -> None:
    """The interpreter used to end with SIGSEGV: its libraries were taken apart under the compiler."""
    done, _ = run_script(tmp_path, PREPARE + END_MEANWHILE)
    assert done.stdout.splitlines()[-1:] == ["end"], done.stderr
    assert done.returncode == 3, done.stderr


def test_a_compilation_that_ends_while_python_shuts_down_does_not_abort(tmp_path: Path) -> None:
    done, _ = run_script(tmp_path, RETURN_MEANWHILE)
    assert done.stdout.splitlines()[-1:] == ["end"], done.stderr
    assert done.returncode == 6, done.stderr
