"""A proxy that serves the page under a path, as nginx and Caddy do."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit


@contextlib.contextmanager
def serve_under_path(url: str, path: str, *, name_prefix: bool) -> Iterator[str]:
    """Remove a path from addresses and pass requests on.

    Args:
        url: of the page.
        path: such as ``/yard/cameras``.
        name_prefix: send ``X-Forwarded-Prefix``.

    Yields:
        URL of the page under the path.
    """
    target = urlsplit(url).netloc

    class Proxy(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
            pass

        def forward(self) -> None:
            if not self.path.startswith(f"{path}/"):
                self.send_error(404, "outside the path")
                return
            headers = {**self.headers, **({"X-Forwarded-Prefix": path} if name_prefix else {}), "Connection": "close"}
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
            connection = http.client.HTTPConnection(target, timeout=60)
            with contextlib.closing(connection), contextlib.suppress(OSError):
                connection.request(self.command, self.path.removeprefix(path), body, headers)
                response = connection.getresponse()
                self.send_response_only(response.status)
                for name, value in response.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.end_headers()
                while data := response.read1(1 << 16):
                    self.wfile.write(data)

        do_GET = do_POST = do_PATCH = forward  # noqa: N815 (the base class's names)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_address[1]}{path}/"
        finally:
            proxy.shutdown()
            thread.join()
