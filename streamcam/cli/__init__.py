"""The command line: options → a config value → one call. Nothing is decided here.

Importing this package loads no TensorFlow, NumPy, OpenCV or PyAV, so that ``--help`` answers at once.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Runs the command line and exits with 0, 1 (could not be done), 2 (usage) or 130 (interrupted)."""
    from .app import app

    app(prog_name="streamcam")
