"""The command line: options → a job → one call.

Importing this package loads no TensorFlow, NumPy, OpenCV or PyAV, so that ``--help`` is fast.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line.

    Exits with 0, 1 (failed), 2 (usage) or 130 (interrupted).
    """
    import warnings

    from ..errors import PreprocessWarning

    warnings.simplefilter("ignore", PreprocessWarning)  # a note on the terminal has the same text
    try:
        from .app import app

        app(prog_name="streamcam")
    except KeyboardInterrupt:  # before a command handles it
        _exit(130)
    except SystemExit as end:
        _exit(end.code)


def _exit(code: object) -> None:
    """Exit; at once if a thread is still blocked in a call that cannot be interrupted.

    Otherwise the interpreter would shut down under that thread and abort instead of returning the exit code.
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
