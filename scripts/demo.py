"""The main job on a sample clip, and a contact sheet of what came out: ``make demo``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av

from streamcam.compose.contact_sheet import contact_sheet

ROOT = Path(__file__).resolve().parent.parent
CLIP = ROOT / "samples" / "cockatoo.mp4"
VIDEO = ROOT / "demo" / "cockatoo.gradcam.mp4"
SHEET = ROOT / "demo" / "cockatoo.gradcam.png"
IMAGES = 6


def main() -> int:
    """Run the command that the README shows and make a contact sheet of its result."""
    VIDEO.parent.mkdir(exist_ok=True)
    command = ["process", str(CLIP), "-o", str(VIDEO), "--method", "gradcam", "--overwrite"]
    print(f"streamcam {' '.join(command)}", flush=True)
    code = subprocess.run([sys.executable, "-m", "streamcam", *command], check=False).returncode
    if code:
        return code
    with av.open(str(VIDEO)) as container:
        frames = list(container.decode(video=0))
    chosen = [frames[(2 * n + 1) * len(frames) // (2 * IMAGES)] for n in range(IMAGES)]
    contact_sheet([frame.reformat(width=640, height=640 * frame.height // frame.width) for frame in chosen], 3, SHEET)
    print(f"video:         {VIDEO}\ncontact sheet: {SHEET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
