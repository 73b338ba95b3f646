"""The page of a live run, its API, metrics and health. An extra: ``pip install 'streamcam[live]'``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..errors import StreamcamError

if TYPE_CHECKING:
    from ..live.status import Controller
    from ..options import ServerOptions
    from .server import Page

__all__ = ["serve"]


def serve(controller: Controller, options: ServerOptions) -> AbstractContextManager[Page]:
    """Serve the page of a run while the block runs; entering it binds the address.

    Args:
        controller: the run to show and change.
        options: address and token.

    Raises:
        StreamcamError: FastAPI, uvicorn or prometheus-client is missing.
        SinkError: on entering: the address cannot be bound, or it is public and there is no token.
    """
    missing = [name for name in ("fastapi", "uvicorn", "prometheus_client") if find_spec(name) is None]
    if missing:
        raise StreamcamError(f"the page needs {', '.join(missing)}", hint="pip install 'streamcam[live]'")
    from .server import serve_page

    return serve_page(controller, options)
