"""The page of a live run, its API, its figures and its health. An extra: ``pip install 'streamcam[live]'``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec

from ..errors import StreamcamError
from ..live.status import Controller
from ..options import ServerOptions

__all__ = ["Page", "serve"]


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is being served.

    Attributes:
        url: where to look at it; without the token.
    """

    url: str


def serve(controller: Controller, options: ServerOptions) -> AbstractContextManager[Page]:
    """Serves the page of a run while the block runs; its address is taken when it is entered.

    Raises:
        StreamcamError: FastAPI, uvicorn or prometheus-client is missing.
        SinkError: on entering: the address cannot be had, or others can reach it and there is no token.
    """
    missing = [name for name in ("fastapi", "uvicorn", "prometheus_client") if find_spec(name) is None]
    if missing:
        raise StreamcamError(f"the page needs {', '.join(missing)}", hint="pip install 'streamcam[live]'")
    from .server import serve_page

    return serve_page(controller, options)
