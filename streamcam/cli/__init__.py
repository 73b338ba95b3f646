"""The command line: options → a job → one call.

Importing this package loads no TensorFlow, NumPy, OpenCV or PyAV, so that ``--help`` is fast.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line.

    Exits with 0, 1 (failed), 2 (usage), 130 (Ctrl-C) or 143 (SIGTERM, SIGHUP; 0 for services).
    """
    import sys

    from .signals import SERVICES, StopSignals

    StopSignals(is_service=sys.argv[1:2] in [[name] for name in SERVICES]).exit_at_once()

    import warnings

    from ..errors import PreprocessWarning

    warnings.simplefilter("ignore", PreprocessWarning)  # a note on the terminal has the same text
    try:
        from .app import app

        app(prog_name="streamcam")
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
