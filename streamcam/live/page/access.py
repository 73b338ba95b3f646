"""Who may see the page, and who may change something.

With a token: whoever brings it, in ``Authorization: Bearer``, or in the cookie that ``/?token=…`` leaves behind.
Without one the page is on an address of this machine only, and what could reach it is another page in a browser here:
under a name of its own that it lets point to this machine, or by sending a form. So foreign names and origins are
refused.
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

_READING = ("GET", "HEAD", "OPTIONS")
_ALWAYS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Access:
    """Stands before an application, and lets through who may."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()
        self._cookie = hmac.digest(self._token, b"streamcam page", hashlib.sha256).hex()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers by itself, or hands on."""

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers[name] = value
            await send(message)

        answer = self._answer(scope) if scope["type"] == "http" and scope["path"] != "/healthz" else None
        await (answer or self._app)(scope, receive, marked)

    def _answer(self, scope: Scope) -> Response | None:
        """What is to be said instead of going on; None for nothing."""
        headers = Headers(scope=scope)
        if self._token:
            if scope["path"] == "/" and (given := parse_qs(scope["query_string"].decode("latin-1")).get("token")):
                return self._welcome(scope, given[0])
            if self._bears(headers):
                return None
            if not self._known(scope, headers):
                return _refused(
                    401, "the page needs its token: open /?token=TOKEN, or send Authorization: Bearer TOKEN"
                )
        elif not _is_here(headers.get("host", "")):
            return _refused(403, "this page is served to localhost only; open it under 127.0.0.1, or give it a --token")
        origin = headers.get("origin")
        if scope["method"] not in _READING and origin is not None and not _is_same(origin, headers.get("host", "")):
            return _refused(403, "another page may change nothing here; a proxy between has to pass the Host header on")
        return None

    def _welcome(self, scope: Scope, given: str) -> Response:
        if not hmac.compare_digest(given.encode(errors="replace"), self._token):
            return _refused(401, "the token in the address is not this page's")
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(_cookie_name(scope), self._cookie, httponly=True, samesite="strict")
        return answer

    def _bears(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # Headers are read as Latin-1, byte for byte.
        return scheme.casefold() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), self._token)

    def _known(self, scope: Scope, headers: Headers) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(_cookie_name(scope))
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self._cookie.encode())


def _cookie_name(scope: Scope) -> str:
    """Browsers send a host's cookies to all of its ports."""
    server = scope.get("server")
    return f"streamcam-{server[1] if server else 0}"


def _refused(status: int, detail: str) -> Response:
    return JSONResponse(
        {"detail": detail}, status_code=status, headers={"WWW-Authenticate": "Bearer"} if status == 401 else None
    )


def _is_here(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_same(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.casefold() == host.casefold()
    except ValueError:
        return False
