"""Make the photographs on which precisions are compared: ``python scripts/make_probes.py``."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SIDE = 128


def main() -> None:
    """Scales the two stills of ``samples/`` and writes them into the package."""
    images = []
    for name in ("chelsea.png", "coffee.png"):
        with av.open(str(ROOT / "samples" / name)) as container:
            frame = next(container.decode(video=0))
        images.append(frame.reformat(width=SIDE, height=SIDE, format="rgb24", interpolation="AREA").to_ndarray())
    np.savez_compressed(ROOT / "streamcam" / "engine" / "data" / "probes.npz", images=np.stack(images))


if __name__ == "__main__":
    main()
