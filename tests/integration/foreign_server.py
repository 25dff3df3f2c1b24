"""WHEP servers that are not ours: Pion's as a process, and one that answers whatever a test says."""

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from interop_scene import pion
from rivulet_scene.clients import Program


def pion_server(port: int, recording: Path, *options: str, video: str = "video.h264") -> Program:
    """A Pion WHEP server at `/whep/ANYTHING` that listens when this returns."""
    files = ["-video", str(recording / video), "-audio", str(recording / "audio.ogg")]
    program = pion("serve", f"127.0.0.1:{port}", *files, *options)
    assert "listening" in program.line(0)
    return program


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    authorization: str | None
    body: str
    at: float = field(default_factory=time.monotonic)


@dataclass
class Said:
    """What is answered."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


class ScriptedServer:
    """An HTTP server on 127.0.0.1 that answers as `answer` says and keeps what it was asked."""

    def __init__(self, port: int, answer: Callable[[Asked], Said], *, certificate: Path | None = None) -> None:
        """Listen; `certificate`: of HTTPS, with its key in one file."""
        asked: list[Asked] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode()
                request = Asked(self.command, self.path, self.headers.get("Authorization"), body)
                asked.append(request)
                said = answer(request)
                self.send_response(said.status)
                for name, value in said.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(said.body.encode())))
                self.end_headers()
                self.wfile.write(said.body.encode())

            do_DELETE = do_POST  # noqa: N815 - as the base class wants it

            def log_message(self, *_: object) -> None:
                """Not a word."""

        self.asked = asked
        self.url = f"http://127.0.0.1:{port}"
        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        if certificate is not None:
            self.url = self.url.replace("http", "https")
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(certificate)
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        """The server itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
