"""Make the peers' own environments under ``benchmarks/work``; does nothing where they are as wanted.

python benchmarks/environments.py

keras: tf-explain 0.3.1 and tf-keras-vis 0.8.7 were written for the Keras 2 inside TensorFlow. Both also run on
    Keras 3, tf-explain a third slower and tf-keras-vis no faster, so they get the legacy package ``tf_keras`` next to
    the TensorFlow that streamcam uses.
openvino: the peer of the forward pass alone.
torch: pytorch-grad-cam with the CPU build of PyTorch. It is installed without its dependencies and they by name,
    as one of them, torchvision, is needed for a few names only (see ``cases/peer_pytorch_grad_cam.py``). Where the
    index has no CPU build of this version, pip takes the much larger default one; the results are the same.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from common import WORK, log_progress

REQUIREMENTS = {
    "keras": (
        (
            "tensorflow==2.21.0",
            "tf_keras==2.21.0",
            "tf-explain==0.3.1",
            "tf-keras-vis==0.8.7",
            "scipy<2",
            "opencv-python-headless==5.0.0.93",
        ),
    ),
    "openvino": (("openvino==2026.4.1", "numpy<3"),),
    "torch": (
        ("torch==2.13.0", "numpy", "scipy", "pillow", "matplotlib", "scikit-learn", "tqdm"),
        ("opencv-python-headless==5.0.0.93",),
        ("--no-deps", "grad-cam==1.5.7", "ttach==0.0.3"),
    ),
}
"""What each environment holds, one call of pip after another."""


def python(name: str) -> Path:
    """Return the interpreter of an environment."""
    return WORK / f"env-{name}" / "bin" / "python"


def make(name: str) -> None:
    """Create an environment unless it exists with the same requirements."""
    folder = WORK / f"env-{name}"
    stamp = folder / "requirements.txt"
    requirements = "\n".join(" ".join(call) for call in REQUIREMENTS[name])
    if stamp.exists() and stamp.read_text() == requirements:
        return
    log_progress(f"making the {name} environment (some minutes, 1–3 GB)")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    for call in REQUIREMENTS[name]:
        subprocess.run([python(name), "-m", "pip", "install", "--quiet", *call], check=True)
    stamp.write_text(requirements)


if __name__ == "__main__":
    for name in REQUIREMENTS:
        make(name)
