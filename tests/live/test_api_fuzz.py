"""The API against its own description: no answer that it does not tell of, no server error, whatever is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import hypothesis
import pytest
import schemathesis
from starlette.testclient import TestClient

from streamcam.live.page.app import make_app

from .fake_studio import FakeStudio

_AT = "http://127.0.0.1"
_STUDIO = FakeStudio("cam1")
_APP = make_app(_STUDIO, "", asyncio.Event())
_SCHEMA = TestClient(_APP, base_url=_AT).get("/api/openapi.json").json()


@pytest.fixture(scope="module", autouse=True)
def running() -> Iterator[None]:
    with _STUDIO:
        yield


schema = schemathesis.openapi.from_dict(_SCHEMA)
schema.app = _APP
