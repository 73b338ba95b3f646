"""Check every request: token, host name and origin.

With a token, a request must carry it in ``Authorization: Bearer`` or in the cookie that ``/?token=…`` sets.
Without one, the page listens on a loopback address only. Another web page in a browser on this machine could still
reach it, by DNS rebinding or by sending a form, so foreign hosts and foreign origins are refused.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class AuthMiddleware:
    """Passes authorized requests to an application, and sets security headers."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()
        self._cookie = hmac.digest(self._token, b"streamcam page", hashlib.sha256).hex()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY_HEADERS.items():
                    headers[name] = value
            await send(message)

        response = self._reject(scope) if scope["type"] == "http" and scope["path"] != "/healthz" else None
        await (response or self._app)(scope, receive, send_with_headers)

    def _reject(self, scope: Scope) -> Response | None:
        """Return the refusal of a request, or None if it may pass."""
        headers = Headers(scope=scope)
        if self._token:
            if scope["path"] == "/" and (tokens := parse_qs(scope["query_string"].decode("latin-1")).get("token")):
                return self._redirect_with_cookie(scope, tokens[0])
            if self._has_bearer_token(headers):
                return None
            if not self._has_cookie(scope, headers):
                return _refuse(401, "missing token; open /?token=TOKEN, or send Authorization: Bearer TOKEN")
        elif not _is_loopback(headers.get("host", "")):
            return _refuse(403, "invalid Host header; expected localhost or 127.0.0.1; other hosts need a --token")
        origin = headers.get("origin")
        if (
            scope["method"] not in _SAFE_METHODS
            and origin is not None
            and not _is_same_origin(origin, headers.get("host", ""))
        ):
            return _refuse(403, "invalid Origin header; expected this page's own; a proxy must pass on the Host header")
        return None

    def _redirect_with_cookie(self, scope: Scope, token: str) -> Response:
        if not hmac.compare_digest(token.encode(errors="replace"), self._token):
            return _refuse(401, "invalid token")
        # Relative, and a cookie without a path: a proxy may serve the page under a path.
        response = RedirectResponse("./", status_code=303)
        response.set_cookie(_cookie_name(scope), self._cookie, path=None, httponly=True, samesite="strict")
        return response

    def _has_bearer_token(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        # Starlette decodes headers as Latin-1, byte for byte.
        return scheme.casefold() == "bearer" and hmac.compare_digest(token.strip().encode("latin-1"), self._token)

    def _has_cookie(self, scope: Scope, headers: Headers) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(_cookie_name(scope))
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self._cookie.encode())


def _cookie_name(scope: Scope) -> str:
    """Return a cookie name that contains the port.

    Browsers share a host's cookies among its ports.
    """
    server = scope.get("server")
    return f"streamcam-{server[1] if server else 0}"


def _refuse(status: int, detail: str) -> Response:
    return JSONResponse(
        {"detail": detail}, status_code=status, headers={"WWW-Authenticate": "Bearer"} if status == 401 else None
    )


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_same_origin(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.casefold() == host.casefold()
    except ValueError:
        return False
