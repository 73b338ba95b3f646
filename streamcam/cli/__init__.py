"""The command line: options → a config value → one call. Nothing is decided here.

Importing this package loads no TensorFlow, NumPy, OpenCV or PyAV, so that ``--help`` answers at once.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Runs the command line and exits with 0, 1 (could not be done), 2 (usage) or 130 (interrupted)."""
    try:
        from .app import app

        app(prog_name="streamcam")
    except KeyboardInterrupt:  # before any command could take it
        _exit(130)
    except SystemExit as end:
        _exit(end.code)


def _exit(code: object) -> None:
    """Ends the process, at once where a thread is left in a call that nobody can interrupt.

    Python would otherwise take the interpreter from under it, which ends in an abort instead of in the exit code.
    """
    import contextlib
    import os
    import sys
    import threading

    if any(thread.name.startswith("streamcam-") for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))
    raise SystemExit(code)
