"""Headless Chromium, driven over the DevTools protocol: open a page, evaluate JavaScript, close. No other library."""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

START_SECONDS: Final = 30.0
CALL_SECONDS: Final = 20.0
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
    "--remote-debugging-port=0",
)


class BrowserError(Exception):
    """Chromium did not start, or a script of ours failed in it."""


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.console: list[str] = []
        self._reader = asyncio.create_task(self._read())

    async def evaluate(self, script: str) -> Any:
        """The JSON value of an expression; promises are waited for. Raises BrowserError with the page's own words."""
        result = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details.get("text"))
        return result["result"].get("value")

    async def until(self, script: str, seconds: float) -> Any:
        """Evaluate again and again until the value is true; that value. AssertionError when the time is over."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not (value := await self.evaluate(script)):
            if asyncio.get_running_loop().time() > deadline:
                state = await self.evaluate("window.rivulet && [rivulet.state, rivulet.detail]")
                raise AssertionError(f"not within {seconds} s: {script}; page: {state}; console: {self.console[-10:]}")
            await asyncio.sleep(0.1)
        return value

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One DevTools command."""
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        reply = await asyncio.wait_for(answer, CALL_SECONDS)
        if "error" in reply:
            raise BrowserError(f"{method}: {reply['error'].get('message')}")
        result: dict[str, Any] = reply["result"]
        return result

    async def close(self) -> None:
        """Close the tab."""
        with contextlib.suppress(BrowserError, TimeoutError, ConnectionError):
            await self.call("Page.close")
        self._reader.cancel()
        await self._socket.close()

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            event = json.loads(message.data)
            if waiting := self._answers.pop(event.get("id", 0), None):
                waiting.set_result(event)
            elif event.get("method") == "Runtime.consoleAPICalled":
                self.console.append(" ".join(str(a.get("value", "")) for a in event["params"]["args"]))


class Chromium:
    """A browser with a fresh profile; `prefix` starts it elsewhere, for instance in a region's network."""

    def __init__(self, directory: Path, *flags: str, prefix: Sequence[str] = ()) -> None:
        self._profile = directory / "chromium"
        self._log = directory / "chromium.log"
        self._command = [*prefix, _program(), *FLAGS, *flags, f"--user-data-dir={self._profile}", "about:blank"]
        self._pages: list[Page] = []

    async def open(self, url: str) -> Page:
        """A new tab with the page, ready for scripts."""
        async with self._http.put(f"http://127.0.0.1:{self._port}/json/new?about:blank") as response:
            target = json.loads(await response.text())
        page = Page(await self._http.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0))
        self._pages.append(page)
        await page.call("Runtime.enable")
        await page.call("Page.enable")
        navigated = await page.call("Page.navigate", url=url)
        if navigated.get("errorText"):
            raise BrowserError(f"{url}: {navigated['errorText']}")
        await page.until("document.readyState === 'complete'", CALL_SECONDS)
        return page

    async def __aenter__(self) -> Self:
        """Start it."""
        self._http = aiohttp.ClientSession()
        with self._log.open("w") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._port = await self._debugging_port()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all tabs and end it with all its processes."""
        for page in self._pages:
            await page.close()
        await self._end()

    async def _debugging_port(self) -> int:
        written = self._profile / "DevToolsActivePort"
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while asyncio.get_running_loop().time() < deadline and self._process.returncode is None:
            if written.exists() and (lines := written.read_text().split()):
                return int(lines[0])
            await asyncio.sleep(0.1)
        raise BrowserError(f"Chromium did not start: {self._log.read_text()[-2000:]}")

    async def _end(self) -> None:
        """Its children share its session, hence its process group: none is left behind."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            try:
                await asyncio.wait_for(self._process.wait(), 5)
            except TimeoutError:
                continue
        await self._http.close()
        shutil.rmtree(self._profile, ignore_errors=True)


@contextlib.asynccontextmanager
async def page_of(browser: Chromium, url: str) -> AsyncIterator[Page]:
    """A tab for the length of a `with` block."""
    page = await browser.open(url)
    try:
        yield page
    finally:
        await page.close()


def _program() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    raise BrowserError("no Chromium here; on Debian: apt-get install chromium")
