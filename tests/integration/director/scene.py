"""Directors as bare processes on 127.0.0.1, each region with a file of its own."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientTimeout

from rivulet_media.tokens import Claims, KeyPair, make_keys, sign
from rivulet_scene.bare import START_SECONDS
from rivulet_scene.ports import free_port

ROOT = Path(__file__).resolve().parents[3]
KEYS: KeyPair = make_keys()
SOON_SECONDS = 10.0  # no promise is tested by it
LAST_LOOKS = 3
STOP_SECONDS = 20


async def until(seen: Callable[[], bool] | Callable[[], Awaitable[bool]], seconds: float = SOON_SECONDS) -> float:
    """Wait until `seen`; how long it took. TimeoutError after `seconds`.

    The last looks begin after the deadline: when this loop was late, it reads first what has come meanwhile.
    """
    started = time.monotonic()
    looks = LAST_LOOKS
    while looks:
        looks -= time.monotonic() - started > seconds
        result = seen()
        if result if isinstance(result, bool) else await result:
            return time.monotonic() - started
        await asyncio.sleep(0.05)
    raise TimeoutError(f"not within {seconds} s")


def token(stream: str = "*", subject: str = "camera-1") -> str:
    return "Bearer " + sign(KEYS.private_pem, Claims(subject, "publish", (stream,), time.time() + 600, "test"))


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    links: list[str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def problem(self) -> str:
        return str(self.json["type"]).rpartition("/")[2]


@dataclass
class PlayedDirector:
    """One director process; the same ports after a restart."""

    region: str
    file: Path
    state: Path
    siblings: list[str] = field(default_factory=list)
    public_port: int = field(default_factory=free_port)
    internal_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    join_token: str = "join"
    kubeconfig: Path | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.internal_port}"

    @property
    def door(self) -> str:
        return f"http://127.0.0.1:{self.public_port}"

    @property
    def log(self) -> Path:
        return self.file.with_name(f"director-{self.internal_port}.log")

    def start(self, *more: str) -> "PlayedDirector":
        words = ["director", "--region", self.region, "--bind", "127.0.0.1", "--join-token", self.join_token]
        words += ["--public-port", str(self.public_port), "--internal-port", str(self.internal_port)]
        words += [] if self.kubeconfig else ["--file", str(self.file)]
        words += ["--state-dir", str(self.state), "--operator-token", "operator"]
        words += ["--turn-secret", "north", *(word for url in self.siblings for word in ("--sibling", url)), *more]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "mediaserver")}
        environment |= {"KUBECONFIG": str(self.kubeconfig)} if self.kubeconfig else {}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rivulet_media.main", *words], env=environment, stdout=log, stderr=log
            )
        return self

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(STOP_SECONDS)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    async def ready(self, seconds: float = START_SECONDS) -> "PlayedDirector":
        async def is_ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"ended:\n{self.log.read_text()[-2000:]}"
            with contextlib.suppress(OSError):
                return (await self.ask("GET", "/readyz")).status == 200
            return False

        await until(is_ready, seconds)
        return self

    async def ask(self, method: str, path: str, *, data: str | bytes | None = None, **headers: str) -> Answer:
        """A client's request at the front door; headers as keyword arguments with `_` for `-`."""
        return await _ask(method, self.door + path, data, headers)

    async def ask_inside(self, method: str, path: str, *, data: str | bytes | None = None, **headers: str) -> Answer:
        return await _ask(method, self.url + path, data, headers)

    async def table(self) -> Any:
        return (await self.ask_inside("GET", "/v1/table", Authorization=f"Bearer {self.join_token}")).json

    async def shows(self, slot: str, state: str) -> bool:
        """Whether a slot stands so in this director's table."""
        states = [node["state"] for node in (await self.table())["nodes"] if node["node"] == slot]
        return states[-1:] == [state]

    async def has(self, stream: str, state: str) -> bool:
        """Whether a Stream's public state is that; False while it is not declared."""
        answer = await self.ask("GET", f"/v1/streams/{stream}")
        return answer.status == 200 and answer.json["state"] == state


async def _ask(method: str, url: str, data: str | bytes | None, headers: Mapping[str, str]) -> Answer:
    wanted = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        ClientSession(timeout=ClientTimeout(total=20)) as http,
        http.request(method, url, data=data, headers=wanted, allow_redirects=False) as answer,
    ):
        return Answer(answer.status, answer.headers, answer.headers.getall("Link", []), await answer.text())


@dataclass
class PlayedRegions:
    """Files and directors of one or more regions."""

    folder: Path
    streams: dict[str, list[str]]
    directors: dict[str, list[PlayedDirector]] = field(default_factory=dict)
    more: list[dict[str, Any]] = field(default_factory=list)
    region_fields: dict[str, Any] = field(default_factory=dict)
    mesh_tokens: dict[str, str] = field(default_factory=dict)
    stream_fields: dict[str, Any] = field(default_factory=dict)

    def add(self, region: str, count: int) -> list[PlayedDirector]:
        file = self.folder / f"{region}.yaml"
        added = [PlayedDirector(region, file, self.folder / f"{region}-{number}") for number in range(count)]
        for director in added:
            director.siblings = [other.url for other in added if other is not director]
        self.directors[region] = added
        return added

    def write(self) -> None:
        for region, directors in self.directors.items():
            documents = [*self._regions(), *self._streams(region), *self._secrets(region), *self.more]
            scratch = directors[0].file.with_suffix(".new")
            scratch.write_text("\n---\n".join(json.dumps(document) for document in documents))
            scratch.replace(directors[0].file)

    def start(self) -> "PlayedRegions":
        self.write()
        for director in self.all():
            director.start()
        return self

    def all(self) -> list[PlayedDirector]:
        return [director for directors in self.directors.values() for director in directors]

    async def ready(self) -> "PlayedRegions":
        await asyncio.gather(*(director.ready() for director in self.all()))
        return self

    def close(self) -> None:
        for director in self.all():
            director.kill()

    def _regions(self) -> list[dict[str, Any]]:
        return [
            resource(
                "CDNRegion",
                region,
                {
                    "host": directors[0].door.removeprefix("http://"),
                    "mesh": {"address": directors[0].url.removeprefix("http://")},
                    "trust": {"issuers": [{"name": "test", "publicKey": KEYS.public_pem}]},
                    "balancer": {"enabled": True},
                    **self.region_fields,
                },
            )
            for region, directors in self.directors.items()
        ]

    def _streams(self, region: str) -> list[dict[str, Any]]:
        names = self.streams.get(region, [])
        return [
            resource(
                "Stream",
                f"stream-{number}",
                {"name": name, "region": region, "source": {"publish": {}}, **self.stream_fields},
            )
            for number, name in enumerate(names)
        ]

    def _secrets(self, region: str) -> list[dict[str, Any]]:
        others = [name for name in self.directors if name != region]
        return [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": f"mesh-{other}"},
                "stringData": {"token": self.mesh_tokens.get(region, "mesh")},
            }
            for other in others
        ]


def resource(kind: str, name: str, spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"apiVersion": "rivulet.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec, **more}
