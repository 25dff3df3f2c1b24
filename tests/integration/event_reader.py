"""A reader of server-sent events: what a player's EventSource would hear, in the order in which it came."""

import contextlib
import json
import threading
from http.client import HTTPConnection, HTTPException
from socket import SHUT_RDWR
from typing import Any, Self
from urllib.parse import urlsplit

from rivulet_scene.waiting import until

READ_SECONDS = 60


class EventReader:
    """Reads `url` in a thread until the server ends the stream; leaving the `with` block closes the connection."""

    def __init__(self, url: str) -> None:
        self.events: list[tuple[str, Any]] = []
        self.comments = 0
        self.over = threading.Event()
        parts = urlsplit(url)
        connection = HTTPConnection(parts.netloc, timeout=READ_SECONDS)
        connection.connect()
        self._socket = connection.sock
        connection.request("GET", url[url.index(parts.netloc) + len(parts.netloc) :])
        self._response = connection.getresponse()
        self.headers = self._response.headers
        assert self._response.status == 200, (self._response.status, self._response.read())
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def names(self) -> list[str]:
        """The events' names so far."""
        return [name for name, _ in self.events]

    def hears(self, *names: str, seconds: float = 10) -> None:
        """Wait until these were the events, all of them, in this order."""
        until(lambda: self.names == list(names), f"events {names}, not {self.names}", seconds=seconds)

    def ends(self, seconds: float = 10) -> None:
        """Wait until the server has ended the stream."""
        assert self.over.wait(seconds), f"still open after {self.names}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(SHUT_RDWR)
        self._reader.join(5)
        self._response.close()
        self._socket.close()

    def _read(self) -> None:
        name = ""
        try:
            for raw in self._response:
                line = raw.decode().rstrip("\n")
                field, _, value = line.partition(": ")
                if line.startswith(":"):
                    self.comments += 1
                elif field == "event":
                    name = value
                elif field == "data":
                    self.events.append((name, json.loads(value)))
        except (OSError, HTTPException, ValueError):
            pass
        self.over.set()
