"""Serve the page under a path of a proxy.

The page itself uses relative addresses only, so it needs no setting. A proxy that removes a path from the address may
name it in ``X-Forwarded-Prefix``; then paths in responses of the API contain it.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

_PREFIX = re.compile(r"(?:/[\w.~-]+)+", re.ASCII)


class ForwardedPrefixMiddleware:
    """Sets the ``root_path`` of an application from ``X-Forwarded-Prefix``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http":
            prefix = Headers(scope=scope).get("x-forwarded-prefix", "").rstrip("/")
            if _PREFIX.fullmatch(prefix):
                scope = {**scope, "root_path": prefix, "path": prefix + scope["path"]}
        await self._app(scope, receive, send)
