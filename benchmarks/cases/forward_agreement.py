"""How far the logits of two sides of the forward benchmark are apart: python forward_agreement.py ONE OTHER."""

from __future__ import annotations

import json
import sys

import numpy as np


def main() -> None:
    """Print the largest difference, the largest logit, and the cosine."""
    one, other = (np.fromfile(path, np.float32).astype(np.float64) for path in sys.argv[1:3])
    cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
    print(json.dumps({"difference": abs(one - other).max(), "largest": abs(one).max(), "cosine": cosine}))


if __name__ == "__main__":
    main()
