"""Headless Firefox: open a page, evaluate JavaScript in it, close. WebDriver BiDi, straight to Firefox."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final, Self

import websocket

from rivulet_scene.ports import free_port

START_SECONDS: Final = 60.0
CALL_SECONDS: Final = 40.0
PREFERENCES: Final = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "media.gmp-provider.enabled": False,  # would fetch plug-ins
    "network.proxy.type": 0,
    "app.update.enabled": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "remote.active-protocols": 1,  # BiDi alone
}


class FirefoxError(Exception):
    """Firefox did not start or ended, or a script failed in it."""


class Firefox:
    """A browser with a fresh profile and one tab."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="rivulet-firefox-"))
        profile = self._directory / "profile"
        profile.mkdir()
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
        (profile / "user.js").write_text("\n".join(lines))
        self._port = free_port()
        self._numbers = itertools.count(1)
        command = ["firefox-esr", "--headless", "--no-remote", "--profile", str(profile)]
        command += [f"--remote-debugging-port={self._port}", "about:blank"]
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "HOME": str(self._directory), "MOZ_HEADLESS": "1"},
                start_new_session=True,
            )
        self._socket: websocket.WebSocket | None = None

    def open(self, url: str) -> None:
        """Go to a page, loaded."""
        if self._socket is None:
            self._socket = self._connect()
            self.call("session.new", capabilities={})
        self._tab = self.call("browsingContext.getTree")["contexts"][0]["context"]
        self.call("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    def evaluate(self, script: str) -> Any:
        """The JSON value of an expression; promises are waited for. FirefoxError with the page's own words."""
        expression = f"Promise.resolve({script}).then((value) => JSON.stringify(value ?? null))"
        result = self.call("script.evaluate", expression=expression, target={"context": self._tab}, awaitPromise=True)
        if result["type"] == "exception":
            raise FirefoxError(result["exceptionDetails"]["text"])
        return json.loads(result["result"]["value"])

    def until(self, script: str, seconds: float) -> Any:
        """Evaluate again and again until the value is true; that value. AssertionError when the time is over."""
        deadline = time.monotonic() + seconds
        while not (value := self.evaluate(script)):
            if time.monotonic() > deadline:
                state = self.evaluate("window.rivulet ? [rivulet.state, rivulet.detail, rivulet.states] : null")
                raise AssertionError(f"not within {seconds} s: {script}; page: {state}")
            time.sleep(0.1)
        return value

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One BiDi command."""
        if self._socket is None:
            raise FirefoxError("Firefox is not running")
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            try:
                message = json.loads(self._socket.recv())
            except (websocket.WebSocketException, OSError) as error:
                raise FirefoxError(f"{method}: no answer; {self._words()}") from error
            if message.get("id") == number:
                break
        if message["type"] == "error":
            raise FirefoxError(f"{method}: {message['error']}: {message['message']}")
        result: dict[str, Any] = message["result"]
        return result

    def __enter__(self) -> Self:
        """The browser."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it with all its processes: they share its process group."""
        if self._socket is not None:
            with contextlib.suppress(FirefoxError):
                self.call("browser.close")
            self._socket.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _connect(self) -> websocket.WebSocket:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                # Firefox takes nobody who names an origin.
                address = f"ws://127.0.0.1:{self._port}/session"
                return websocket.create_connection(address, timeout=CALL_SECONDS, suppress_origin=True)
            except (OSError, websocket.WebSocketException) as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise FirefoxError(f"Firefox did not start: {self._words()}") from error
                time.sleep(0.2)

    def _words(self) -> str:
        return (self._directory / "log").read_text(errors="replace")[-2000:]
