"""Read an error's message."""

from __future__ import annotations

import pytest

from streamcam.errors import StreamcamError


def message(error: pytest.ExceptionInfo[StreamcamError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text
