"""Headless Chromium: open a page, evaluate JavaScript in it, close. The DevTools protocol over pipes, no other library.

Pipes reach a browser in another network namespace, where a debugging port would not.
"""

import contextlib
import itertools
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO, Final, Self
from urllib.parse import urlsplit

from rivulet_scene.command import TESTBED

CALL_SECONDS: Final = 30.0
START_SECONDS: Final = 60.0
FLAGS: Final = (
    "--headless",
    "--no-sandbox",  # tests run as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--disable-features=OptimizationHints,MediaRouter,Translate,DialMediaRouteProvider",
    "--metrics-recording-only",
    "--mute-audio",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--password-store=basic",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-pipe",
)
# Chromium reads commands from descriptor 3 and writes answers to 4.
_AT_3_AND_4: Final = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'


class BrowserError(Exception):
    """Chromium did not start or ended, or a script failed in it."""


class Page:
    """One tab. Methods block; call them through `asyncio.to_thread` where a loop must go on."""

    def __init__(self, browser: "Chromium", session: str, target: str) -> None:
        self._browser = browser
        self._session = session
        self._target = target

    def evaluate(self, script: str) -> Any:
        """The JSON value of an expression; promises are waited for. BrowserError with the page's own words."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details.get("text"))
        return result["result"].get("value")

    def until(self, script: str, seconds: float) -> Any:
        """Evaluate again and again until the value is true; that value. AssertionError when the time is over."""
        deadline = time.monotonic() + seconds
        while not (value := self.evaluate(script)):
            if time.monotonic() > deadline:
                state = self.evaluate("window.rivulet && [rivulet.state, rivulet.detail, rivulet.states]")
                raise AssertionError(f"not within {seconds} s: {script}; page: {state}; {self._browser.console[-5:]}")
            time.sleep(0.1)
        return value

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One DevTools command."""
        return self._browser.call(method, self._session, **parameters)

    def close(self) -> None:
        """Close the tab as a user does, so that the page can say goodbye."""
        with contextlib.suppress(BrowserError):
            self._browser.call("Target.closeTarget", targetId=self._target)


class Chromium:
    """A browser with a fresh profile, in the network of `place` (of the testbed) or in `namespace`, if one is named.

    It starts with the first page: cameras are given to secure origins only, and the first page's origin counts as one.
    """

    def __init__(self, *flags: str, place: str | None = None, namespace: str | None = None) -> None:
        self._flags = flags
        self._prefix = [str(TESTBED), "exec", place, "--"] if place else []
        if namespace:
            self._prefix = ["nsenter", f"--net=/run/netns/{namespace}"]
        self._directory = Path(tempfile.mkdtemp(prefix="rivulet-chromium-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._commands: BinaryIO | None = None
        self._numbers = itertools.count(1)
        self._answers: dict[int, queue.Queue[dict[str, Any]]] = {}
        self.console: list[str] = []

    def open(self, url: str) -> Page:
        """A new tab with the page, ready for scripts."""
        if self._process is None:
            self._start(url)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, target)
        page.call("Runtime.enable")
        page.call("Page.enable")
        error = page.call("Page.navigate", url=url).get("errorText")
        deadline = time.monotonic() + CALL_SECONDS
        # The addresses of a place that has just come up settle for a second or two.
        while error == "net::ERR_NETWORK_CHANGED" and time.monotonic() < deadline:
            time.sleep(0.5)
            error = page.call("Page.navigate", url=url).get("errorText")
        if error:
            raise BrowserError(f"{url}: {error}")
        page.until("location.href !== 'about:blank' && document.readyState === 'complete'", CALL_SECONDS)
        return page

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One DevTools command, to the browser or to one of its tabs."""
        return self._call(CALL_SECONDS, method, session, parameters)

    def __enter__(self) -> Self:
        """The browser, which the first `open` starts."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it with all its processes: they share its process group."""
        if self._process is not None:
            with contextlib.suppress(BrowserError):
                self.call("Browser.close")
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    self._process.wait(3)
                except subprocess.TimeoutExpired:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(self._process.pid, number)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        if self._commands is not None:
            self._commands.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _start(self, url: str) -> None:
        commands, ours = os.pipe()
        theirs, answers = os.pipe()
        place = urlsplit(url)
        options = [
            f"--user-data-dir={self._directory / 'profile'}",
            f"--unsafely-treat-insecure-origin-as-secure={place.scheme}://{place.netloc}",
        ]
        command = [*self._prefix, _program(), *FLAGS, *self._flags, *options, "about:blank"]
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", _AT_3_AND_4, "bash", str(commands), str(answers), *command],
                pass_fds=(commands, answers),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        os.close(commands)
        os.close(answers)
        self._commands = os.fdopen(ours, "wb")
        threading.Thread(target=self._read, args=(os.fdopen(theirs, "rb"),), daemon=True).start()
        self._call(START_SECONDS, "Browser.getVersion", None, {})

    def _call(self, seconds: float, method: str, session: str | None, parameters: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        self._answers[number] = queue.Queue(1)
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        try:
            if self._commands is None:
                raise BrowserError("Chromium is not running")
            self._commands.write(json.dumps(message).encode() + b"\0")
            self._commands.flush()
            reply = self._answers[number].get(timeout=seconds)
        except (queue.Empty, OSError) as error:
            raise BrowserError(f"{method}: no answer; {self._words()}") from error
        finally:
            del self._answers[number]
        if "error" in reply:
            raise BrowserError(f"{method}: {reply['error'].get('message')}")
        result: dict[str, Any] = reply["result"]
        return result

    def _read(self, answers: BinaryIO) -> None:
        with answers:
            rest = b""
            while chunk := os.read(answers.fileno(), 1 << 16):
                *messages, rest = (rest + chunk).split(b"\0")
                for message in messages:
                    self._take(json.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        if waiting := self._answers.get(message.get("id", 0)):
            waiting.put(message)
        elif message.get("method") == "Runtime.consoleAPICalled":
            self.console.append(" ".join(str(part.get("value", "")) for part in message["params"]["args"]))
        elif message.get("method") == "Runtime.exceptionThrown":
            self.console.append(str(message["params"]["exceptionDetails"].get("exception", {}).get("description")))

    def _words(self) -> str:
        log = self._directory / "log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else ""


def _program() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    raise BrowserError("no Chromium here; on Debian: apt-get install chromium")
