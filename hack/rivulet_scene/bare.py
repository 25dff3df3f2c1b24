"""A CDN of bare processes: directors and nodes as docs/guide/without-kubernetes.md shows them.

They stand on 127.0.0.1, unless told otherwise.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from rivulet_scene import metrics
from rivulet_scene.command import MEDIA, output
from rivulet_scene.http import Answer, get, request
from rivulet_scene.ports import free_port
from rivulet_scene.waiting import until

LOOPBACK = "127.0.0.1"
STOP_SECONDS = 10
START_SECONDS = 45  # no promise is tested by it: a start beside other starts on two busy cores


@dataclass
class Process:
    """One process of the CDN with its log and its addresses."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    http: str

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self.popen.poll() is None

    def alive(self) -> bool:
        """True; AssertionError with the end of its log when it has ended."""
        assert self.running, f"{self.name} ended with status {self.popen.returncode}:\n{self.log.read_text()[-2000:]}"
        return True

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self.popen.kill()
        self.popen.wait(STOP_SECONDS)

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        if self.running:
            self.popen.send_signal(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: alive for the kernel, silent for everybody else."""
        self.popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.popen.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL when it does not end."""
        self.terminate()
        try:
            self.popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()


@dataclass
class RegionPorts:
    """Where a region's directors listen: (public, internal) for each.

    `host`: where they and its nodes are reached; `inside`: the words that start a program where the region runs.
    """

    name: str
    directors: list[tuple[int, int]]
    file: Path
    join_token: str = field(default_factory=lambda: secrets.token_hex(16))
    host: str = LOOPBACK
    inside: tuple[str, ...] = ()

    def public(self, director: int = 0) -> str:
        """A director's front door."""
        return f"http://{self.host}:{self.directors[director][0]}"

    def internal(self, director: int = 0) -> str:
        """A director's internal listener."""
        return f"http://{self.host}:{self.directors[director][1]}"


class BareCdn:
    """Regions of bare processes; `close` (or leaving the `with` block) stops every one."""

    def __init__(
        self, directory: Path, regions: dict[str, int], streams: dict[str, dict[str, Any]], *, bind: str = LOOPBACK
    ) -> None:
        """`regions`: name → number of directors; `streams`: published name → Stream spec (its `region` says where).

        `bind`: where all of them listen; "": wherever they do by themselves.
        """
        self.directory = directory
        self._bind = ("--bind", bind) if bind else ()
        self.processes: dict[str, Process] = {}
        self.key = directory / "publish.key"
        self.public_key = self._token("--public")
        self.regions = {
            name: RegionPorts(name, [(free_port(), free_port()) for _ in range(count)], directory / f"{name}.json")
            for name, count in regions.items()
        }
        self.mesh_token = secrets.token_hex(16)
        self.more: list[dict[str, Any]] = []  # documents that every region's file has besides
        for region in self.regions.values():
            self.write_file(region, streams)
            (directory / f"{region.name}.join").write_text(region.join_token)

    def _token(self, *arguments: str) -> str:
        return output([MEDIA, "token", "--key", self.key, *arguments]).strip()

    def token(self, stream: str, *, subject: str = "camera-1", expires: str = "1h", action: str = "publish") -> str:
        """A publish token that every region of this CDN trusts."""
        return self._token("--stream", stream, "--subject", subject, "--expires", expires, "--action", action)

    def write_file(self, region: RegionPorts, streams: dict[str, dict[str, Any]], **region_fields: Any) -> None:
        """The file that the region's directors read: JSON is YAML."""
        issuers = [issuer(self.public_key)]
        documents: list[dict[str, Any]] = [*self.more]
        for other in self.regions.values():
            spec: dict[str, Any] = {
                "host": other.public().removeprefix("http://"),
                "mesh": {"address": other.internal().removeprefix("http://")},
                "trust": {"issuers": issuers},
                "balancer": {"enabled": True},
                **region_fields,
            }
            documents.append(resource("CDNRegion", other.name, spec))
            if other is not region:
                documents.append(
                    {
                        "apiVersion": "v1",
                        "kind": "Secret",
                        "metadata": {"name": f"mesh-{other.name}"},
                        "stringData": {"token": self.mesh_token},
                    }
                )
        for number, (name, spec) in enumerate(streams.items()):
            if spec["region"] == region.name:
                documents.append(resource("Stream", f"stream-{number}", {"name": name, **spec}))
        text = "\n---\n".join(json.dumps(document, indent=1) for document in documents)
        scratch = region.file.with_suffix(".new")
        scratch.write_text(text)
        scratch.replace(region.file)

    def start(self, name: str, arguments: list[str], http: str, inside: tuple[str, ...] = ()) -> Process:
        """Start one process under a name; a process of that name that has ended is replaced."""
        log = self.directory / f"{name}.log"
        with log.open("ab") as sink:
            popen = subprocess.Popen(
                [*inside, MEDIA, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env={"PATH": os.environ["PATH"], "HOME": str(self.directory), "PYTHONUNBUFFERED": "1"},
            )
        self.processes[name] = Process(name, popen, log, http)
        return self.processes[name]

    def director(self, region_name: str, number: int = 0, *options: str, ready: bool = True) -> Process:
        """Start a region's director; waits until it has settled unless told not to."""
        region = self.regions[region_name]
        public, internal = region.directors[number]
        siblings = [region.internal(other) for other in range(len(region.directors)) if other != number]
        arguments = ["director", "--file", str(region.file), "--region", region_name, *self._bind]
        arguments += ["--public-port", str(public), "--internal-port", str(internal)]
        arguments += ["--join-token-file", str(self.directory / f"{region_name}.join")]
        arguments += ["--state-dir", str(self.directory / f"state-{region_name}-{number}")]
        arguments += [*options, *(word for url in siblings for word in ("--sibling", url))]
        process = self.start(f"director-{region_name}-{number}", arguments, region.public(number), region.inside)
        if ready:
            self.settled(region_name, number)
        return process

    def settled(self, region_name: str, number: int = 0) -> None:
        """Wait until a director takes publishers and viewers."""
        door = self.regions[region_name].public(number)
        process = self.processes[f"director-{region_name}-{number}"]
        what = f"director {number} of {region_name} ready"
        until(lambda: process.alive() and ready(door), what, seconds=START_SECONDS)

    def node(
        self, slot: str, role: str, region_name: str, *options: str, director: int = 0, ready: bool = True
    ) -> Process:
        """Start a node; waits until its table says that it has joined unless told not to."""
        region = self.regions[region_name]
        http, media = free_port(), free_port()
        arguments = ["node", "--role", role, "--slot", slot, "--entry", region.internal(director), *self._bind]
        arguments += ["--http-port", str(http), "--media-port", str(media)]
        arguments += ["--join-token-file", str(self.directory / f"{region_name}.join"), *options]
        process = self.start(slot, arguments, f"http://{region.host}:{http}", region.inside)
        if ready:
            until(lambda: process.alive() and _joined(process.http), f"{slot} joined", seconds=START_SECONDS)
        return process

    def table(self, slot: str) -> dict[str, Any]:
        """A node's own table."""
        return dict(get(f"{self.processes[slot].http}/v1/table").json)

    def director_table(self, region_name: str, number: int = 0) -> dict[str, Any]:
        """A director's table."""
        region = self.regions[region_name]
        return dict(get(f"{region.internal(number)}/v1/table", Authorization=f"Bearer {region.join_token}").json)

    def close(self) -> None:
        """Stop every process; nodes before directors, all at once."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.stop()

    def __enter__(self) -> Self:
        """The CDN itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self.close()


def resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A custom resource as plain data."""
    return {"apiVersion": "rivulet.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def issuer(printed: str) -> dict[str, str]:
    """The entry for CDNRegion `trust.issuers` out of what `rivulet-media token --public` prints."""
    document = yaml.safe_load(printed)
    return dict(document["spec"]["trust"]["issuers"][0])


def metric(http: str, name: str, **labels: str) -> float:
    """The sum of a Prometheus metric's samples that carry these labels; 0 when there are none."""
    return metrics.total(get(f"{http}/metrics").body, name, **labels)


def ready(http: str) -> bool:
    """Whether /readyz says so; False while nobody answers."""
    with contextlib.suppress(OSError):
        return get(f"{http}/readyz").status == 200
    return False


def _joined(http: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(get(f"{http}/v1/table").json["state"] != "waiting")
    return False


def delete(url: str) -> Answer:
    """DELETE, as a client that knows its session URL does."""
    return request("DELETE", url)
