"""Fuzz the API against its own schema: no undocumented response and no server error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from streamcam.web.app import make_app
from streamcam.web.webrtc import WebRtcManager

from ..live.fake_controller import FakeController

pytestmark = pytest.mark.slow

# A camera name that the fuzzer is likely to generate.
_CONTROLLER = FakeController("0", "cam1", fps=10, size=(160, 96))
_APP = make_app(_CONTROLLER, "", asyncio.Event(), WebRtcManager())


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    with _CONTROLLER:
        deadline = time.monotonic() + 10
        while not _CONTROLLER.cameras["cam1"].shown:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield


schema = schemathesis.openapi.from_asgi("/api/openapi.json", _APP, headers={"Host": "localhost"})


@schema.parametrize()
@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_every_response_is_in_the_schema(case: schemathesis.Case) -> None:
    case.call_and_validate(headers={"Host": "localhost"})


def test_every_route_is_in_the_schema() -> None:
    labels = {operation.ok().label for operation in schema.get_all_operations()}
    assert len(labels) == 19
