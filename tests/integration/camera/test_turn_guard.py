"""N4 N7: Debian's coturn, configured and guarded by `rivulet-media turn-guard`, on loopback."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aioice import stun, turn

from loopback_endpoint import LoopbackEndpoint
from rivulet_media.camera.encoders import VideoSettings
from rivulet_media.camera.sources import CameraSettings
from rivulet_scene.ports import free_port

pytestmark = pytest.mark.timeout(180)

SECRET, TOKEN = "s3cret", "join-token"
# coturn reads its table again every few seconds; a pod is in the directors' table long before a viewer is sent to it.
REREAD_SECONDS = 40.0
MEDIA_POD, STRANGER = "127.0.0.2", "127.0.0.3"


def credentials(*, expires: float, secret: str = SECRET) -> tuple[str, str]:
    """As a director makes them: coturn's `use-auth-secret` scheme."""
    name = f"{int(expires)}:viewer"
    return name, base64.b64encode(hmac.new(secret.encode(), name.encode(), hashlib.sha1).digest()).decode()


@dataclass
class Turn:
    """A running coturn with its guard, and the list that the guard is told."""

    port: int
    log: Path
    peers: list[str] = field(default_factory=list)
    answering: bool = True
    wrong_tokens: int = 0

    async def turn_peers(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.wrong_tokens += 1
            return web.json_response({}, status=401)
        return web.json_response({"peers": self.peers}) if self.answering else web.json_response({}, status=503)


@contextlib.asynccontextmanager
async def process(*command: str, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("w") as output:
        running = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
    try:
        yield running
    finally:
        if running.returncode is None:
            running.terminate()
            try:
                await asyncio.wait_for(running.wait(), 5)
            except TimeoutError:
                running.kill()
                await running.wait()


@pytest.fixture
async def coturn(tmp_path: Path) -> AsyncIterator[Turn]:
    here = Turn(free_port(), tmp_path / "coturn.log")
    app = web.Application()
    app.router.add_get("/v1/turn-peers", here.turn_peers)
    runner = web.AppRunner(app)
    await runner.setup()
    directors = web.TCPSite(runner, "127.0.0.1", 0)
    await directors.start()
    config = rendered(tmp_path, here.port)
    async with process(*config.command, log=tmp_path / "render.log") as render:
        assert await asyncio.wait_for(render.wait(), 45) == 0, (tmp_path / "render.log").read_text()
    with config.path.open("a") as lines:  # every address of this test is a loopback address; in a pod none is
        lines.write("allow-loopback-peers\n")
    entry = f"http://127.0.0.1:{runner.addresses[0][1]}"
    guard = [*GUARD, "--entry", entry, "--join-token-file", str(tmp_path / "token"), *config.places]
    async with process("turnserver", "-c", str(config.path), log=here.log), process(*guard, log=tmp_path / "guard.log"):
        await until(lambda: "UDP listener opened" in here.log.read_text(), 20)
        yield here
    await runner.cleanup()


GUARD = [sys.executable, "-m", "rivulet_media.main", "turn-guard"]


@dataclass
class Rendered:
    path: Path
    places: list[str]
    command: list[str]


def rendered(directory: Path, port: int) -> Rendered:
    (directory / "secret").write_text(SECRET + "\n")
    (directory / "token").write_text(TOKEN + "\n")
    path = directory / "turnserver.conf"
    places = ["--config", str(path), "--database", str(directory / "turndb")]
    options = ["--secret-file", str(directory / "secret"), "--relay-ip", "127.0.0.1", "--port", str(port)]
    return Rendered(path, places, [*GUARD, "--render", *places, *options])


async def until(condition: Any, seconds: float) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not happen in time"
        await asyncio.sleep(0.05)
    return time.monotonic() - started


class Echo(asyncio.DatagramProtocol):
    """A media pod as TURN sees one: an address that answers."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


class Client(asyncio.DatagramProtocol):
    """A viewer behind TURN."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes | Exception] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        assert addr
        self.heard.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        self.heard.put_nowait(exc)


@contextlib.asynccontextmanager
async def allocation(server: Turn, transport: str = "udp") -> AsyncIterator[tuple[Any, Client]]:
    username, password = credentials(expires=time.time() + 600)
    endpoint, client = await turn.create_turn_endpoint(
        Client, ("127.0.0.1", server.port), username, password, transport=transport
    )
    try:
        yield endpoint, client
    finally:
        endpoint.close()
        await asyncio.sleep(0.1)


async def relays_to(server: Turn, address: str, transport: str = "udp") -> bool:
    """Whether a datagram to a listener at `address` comes back through an allocation of its own."""
    loop = asyncio.get_running_loop()
    listener, _ = await loop.create_datagram_endpoint(Echo, local_addr=(address, 0))
    try:
        async with allocation(server, transport) as (endpoint, client):
            endpoint.sendto(b"ping", listener.get_extra_info("sockname"))
            heard = await asyncio.wait_for(client.heard.get(), 10)
    finally:
        listener.close()
    if isinstance(heard, stun.TransactionFailed):
        assert heard.response.attributes["ERROR-CODE"][0] == 403
        return False
    assert heard == b"ping"
    return True


async def becomes(server: Turn, address: str, *, reachable: bool) -> float:
    """Seconds until relaying to `address` is allowed, or denied."""
    started = time.monotonic()
    while await relays_to(server, address) is not reachable:
        assert time.monotonic() - started < REREAD_SECONDS, server.log.read_text()[-2000:]
        await asyncio.sleep(0.2)
    return time.monotonic() - started


async def test_only_listed_media_pods_are_relayed_to_and_changes_apply_live(coturn: Turn) -> None:
    """N4 N7: nobody at first; a pod once listed; nobody else; no longer when it is gone; rows outlive directors."""
    assert not await relays_to(coturn, MEDIA_POD)
    coturn.peers = [MEDIA_POD]
    appeared = await becomes(coturn, MEDIA_POD, reachable=True)
    assert await relays_to(coturn, MEDIA_POD, "tcp")
    assert not await relays_to(coturn, STRANGER)
    assert not await relays_to(coturn, "127.0.0.1")

    coturn.answering = False
    await asyncio.sleep(3)
    assert await relays_to(coturn, MEDIA_POD)

    coturn.answering, coturn.peers = True, [STRANGER]
    vanished = await becomes(coturn, MEDIA_POD, reachable=False)
    assert await relays_to(coturn, STRANGER)
    assert coturn.wrong_tokens == 0
    assert "ALLOCATE processed, success" in coturn.log.read_text()
    print(f"a new peer was allowed after {appeared:.1f} s, an old one denied after {vanished:.1f} s")


async def test_a_login_waits_for_nobody_who_writes_the_list(coturn: Turn) -> None:
    """N4: coturn refuses with 401 whoever comes while its database is locked."""
    coturn.peers = [MEDIA_POD]
    await becomes(coturn, MEDIA_POD, reachable=True)
    with contextlib.closing(sqlite3.connect(coturn.log.with_name("turndb"))) as writing:
        writing.execute("BEGIN EXCLUSIVE")
        assert await relays_to(coturn, MEDIA_POD)
        writing.rollback()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_the_probe_plays_over_a_relay_only_where_it_is_told_to(coturn: Turn, transport: str) -> None:
    """N1 N4: the servers of the Link header; without --relay-only the direct pair wins."""
    coturn.peers = ["127.0.0.1"]
    await becomes(coturn, "127.0.0.1", reachable=True)
    username, password = credentials(expires=time.time() + 600)
    login = f'rel="ice-server"; username="{username}"; credential="{password}"; credential-type="password"'
    server = LoopbackEndpoint(CameraSettings(None, VideoSettings(), audio=True))
    server.links = [f"<turn:127.0.0.1:{coturn.port}?transport={way}>; {login}" for way in ("udp", "tcp")]
    runner = web.AppRunner(server.app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/whep/a"
    options = ["--frames", "20", "--json", "--turn-transport", transport]
    seen = {}
    for name, more in (("relayed", ["--relay-only"]), ("direct", [])):
        command = [sys.executable, "-m", "rivulet_media.main", "play", url, *options, *more]
        running = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        printed, _ = await asyncio.wait_for(running.communicate(), 60)
        assert running.returncode == 0
        seen[name] = json.loads(printed)
    await server.close()
    await runner.cleanup()
    assert (seen["relayed"]["pair"]["relayed"], seen["relayed"]["pair"]["protocol"]) == (True, transport)
    assert (seen["direct"]["pair"]["relayed"], seen["direct"]["pair"]["protocol"]) == (False, "udp")
    assert seen["relayed"]["audio"]["frames"] > 0


@pytest.mark.parametrize(
    ("username", "password"),
    [
        pytest.param(*credentials(expires=time.time() - 10), id="expired"),
        pytest.param(*credentials(expires=time.time() + 600, secret="guess"), id="of another secret"),
        pytest.param("viewer", "password", id="made up"),
    ],
)
async def test_wrong_or_old_credentials_get_no_allocation(coturn: Turn, username: str, password: str) -> None:
    """N7: short-lived credentials."""
    with pytest.raises(stun.TransactionFailed) as refused:
        await turn.create_turn_endpoint(Client, ("127.0.0.1", coturn.port), username, password)
    assert refused.value.response.attributes["ERROR-CODE"][0] == 401
