"""Opens a port for `RestServer`, so that the lines of an export's README can be run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from keras_s2s.export.serving.rest import RestServer


@contextmanager
def serve_http(server: RestServer, port: int = 0) -> Iterator[int]:
    """Listens on a port of this machine inside the `with` block, and gives the port."""
    lock = threading.Lock()  # a session answers one at a time

    class Handler(BaseHTTPRequestHandler):
        """Hands each request to the server."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply("GET", b"")

        def do_POST(self) -> None:
            self._reply("POST", self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _reply(self, method: str, body: bytes) -> None:
            with lock:
                code, content = server.answer(method, self.path, body)
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Prints no line for a request."""

    http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield http.server_address[1]
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
