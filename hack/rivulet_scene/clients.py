"""Real clients: `rivulet-media publish` and `play` as processes, standing in a region's network or in this one."""

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from rivulet_scene.command import MEDIA, TESTBED

STOP_SECONDS = 15
START_SECONDS = 45  # a program's own start and ICE and DTLS, beside others on two busy cores


class Program:
    """One process. Its JSON lines are collected as they come; leaving the `with` block stops it."""

    def __init__(self, argv: Sequence[str]) -> None:
        """Start it in a process group of its own."""
        self.command = " ".join(argv)
        self.errors = Path(tempfile.mkstemp(prefix="rivulet-client-", suffix=".log")[1])
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                argv,
                stdout=subprocess.PIPE,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        self.lines: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                if line.startswith("{"):
                    self.lines.append(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def line(self, index: int = 0, *, seconds: float = START_SECONDS) -> dict[str, Any]:
        """The JSON line of that index; AssertionError with the client's own words when it does not come."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.lines) > index or not self._reader.is_alive(), seconds)
            if came and len(self.lines) > index:
                return self.lines[index]
        raise AssertionError(f"{self.command}: no line {index}\n{self.errors.read_text()[-3000:]}")

    def result(self, *, seconds: float = 60) -> dict[str, Any]:
        """The last JSON line after the client has ended by itself."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
        self._reader.join(5)
        assert self.lines, f"{self.command}: printed nothing\n{self.errors.read_text()[-3000:]}"
        return self.lines[-1]

    def kill(self) -> None:
        """End it without a word to anybody, as a crash does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_SECONDS)

    def stop(self) -> None:
        """Ask it to end (it sends DELETE), then make it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it; its words stay in the list of lines."""
        self.stop()
        self._reader.join(5)
        self.errors.unlink(missing_ok=True)


class Client(Program):
    """`rivulet-media ARGUMENTS`, in the network of `place` (of the testbed) if one is named."""

    def __init__(self, arguments: Sequence[str], place: str | None = None) -> None:
        """Start it."""
        prefix = [str(TESTBED), "exec", place, "--"] if place else []
        super().__init__([*prefix, str(MEDIA), *arguments])


def camera(url: str, *options: str, token: str | None = None, place: str | None = None) -> Client:
    """A publisher of the timer picture with sound, to a WHIP address."""
    return Client(["publish", url, "--timer", *(["--token", token] if token else []), *options], place)


def probe(url: str, *options: str, seconds: float = 10, place: str | None = None) -> Client:
    """A viewer that decodes both tracks: its first line says that it is connected, its last what it saw."""
    return Client(["play", url, "--json", "--progress", "--duration", str(seconds), *options], place)
