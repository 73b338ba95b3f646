"""Models and inputs that interrupt or end their process at a known place."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

import streamcam.prepare
from tests.pipeline.models import brightness


def swallows_the_interrupt() -> Any:
    """A model whose library drops an interrupt: loading goes on."""
    with contextlib.suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    return brightness()


def turns_the_interrupt_into_an_error() -> Any:
    """A model whose library reports an interrupt as a failure of its own."""
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        raise ImportError("the library cannot be loaded") from None


def aborts_on_some_inputs() -> Any:
    """A model that makes inputs named ``abort…`` end the process, as an assertion in FFmpeg does."""
    open_source = streamcam.prepare.open_source

    def open_or_abort(options: Any, **more: Any) -> Any:
        if "abort" in options.url:
            os.abort()
        return open_source(options, **more)

    streamcam.prepare.open_source = open_or_abort
    return brightness()
