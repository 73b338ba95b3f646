"""Logins of cameras from a file or the environment.

On the command line every user of the machine would see them.
"""

from __future__ import annotations

import netrc
import os
import stat
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

from ...errors import SourceError

LOGIN_VARIABLE = "STREAMCAM_LOGIN"
"""Environment variable: ``USER:PASSWORD`` of all cameras that have no other login."""


def add_login(url: str, credentials: str) -> str:
    """Return a URL with the camera's login, if it has none itself.

    The login is that of the URL's host in the credentials file, or else that of the environment.

    Args:
        url: URL of a network camera.
        credentials: path of a file in netrc format; empty for none.

    Raises:
        SourceError: the file cannot be used.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url  # FFmpeg reports it
    if "@" in parts.netloc:
        return url
    login = _login_from_file(Path(credentials), parts.hostname or "") if credentials else None
    if login is None:
        user, separator, password = os.environ.get(LOGIN_VARIABLE, "").partition(":")
        login = (user, password) if separator else None
    if login is None:
        return url
    user, password = (quote(part, safe="") for part in login)
    return parts._replace(netloc=f"{user}:{password}@{parts.netloc}").geturl()


def _login_from_file(path: Path, host: str) -> tuple[str, str] | None:
    try:
        mode = path.stat().st_mode
        if sys.platform != "win32" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SourceError(f"--credentials {path} can be read by others", hint=f"chmod 600 {path}")
        found = netrc.netrc(path).authenticators(host)
    except OSError as error:
        raise SourceError(f"--credentials {path} cannot be read: {error.strerror}") from error
    except (netrc.NetrcParseError, UnicodeDecodeError):
        # The error's text may show a password.
        raise SourceError(
            f"--credentials {path} is not in netrc format", expected="lines: machine HOST login USER password PASSWORD"
        ) from None
    return None if found is None else (found[0], found[2] or "")
