"""What a media node is told at its start: a flag, else its environment variable (docs/contract.md §10). Read once."""

import argparse
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from rivulet_media.errors import SettingsError
from rivulet_media.listening import ANY, everywhere
from rivulet_media.logs import LEVELS

MediaRole = Literal["origin", "edge"]

_SLOT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_MAX_DRAIN_SECONDS = 3500
_MAX_GATHER_MS = 100
MOST_THREADS = 64  # that the engine takes


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """All settings of a media node: an entry point, a join token, and what is its own. Never a peer's name."""

    entry: str
    join_token: str = field(repr=False)
    role: MediaRole | None = None
    slot: str | None = None
    bind: str = ANY
    http_port: int = 8080
    media_port: int = 7000
    media_threads: int = 0  # as many as CPUs
    media_tcp: bool = True
    kube_node: str = ""
    pod_ip: str = ""
    pod_uid: str = ""
    drain_seconds: float = 600.0
    capacity_viewers: int = 500
    egress_mbps: int = 1000
    gather_ms: int = 20
    link_seconds: float = 60.0
    link_mbps: int = 400
    publisher_mbps: int = 50
    log_level: str = "info"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Every setting as a flag."""
    parser.add_argument("--entry", help="URL of a director's internal listener (RIVULET_ENTRY)")
    parser.add_argument("--join-token", help="the region's join token; better: a file")
    parser.add_argument("--join-token-file", help="file with the join token (RIVULET_JOIN_TOKEN_FILE)")
    parser.add_argument("--role", help="origin or edge (RIVULET_ROLE; default: as the director says, edge)")
    parser.add_argument("--slot", help="name of this node (RIVULET_SLOT; default: as the director says)")
    parser.add_argument(
        "--bind",
        help="where signalling and media listen (RIVULET_BIND; ::, which is IPv4 too, or 0.0.0.0 without IPv6)",
    )
    parser.add_argument("--http-port", help="signalling port (RIVULET_HTTP_PORT; 8080)")
    parser.add_argument("--media-port", help="media port (RIVULET_MEDIA_PORT; 7000)")
    parser.add_argument(
        "--media-threads", help="threads that carry media (RIVULET_MEDIA_THREADS; 0: as many as CPUs may be used)"
    )
    parser.add_argument("--media-tcp", help="on or off: media over TCP too, same port (RIVULET_MEDIA_TCP; on)")
    parser.add_argument("--kube-node", help="name of the host (RIVULET_KUBE_NODE; the host's name)")
    parser.add_argument("--pod-ip", help="address inside the cluster (RIVULET_POD_IP; found by the way to the entry)")
    parser.add_argument("--pod-uid", help="UID of the pod (RIVULET_POD_UID)")
    parser.add_argument("--drain-seconds", help="how long SIGTERM waits for viewers (RIVULET_DRAIN_SECONDS; 600)")
    parser.add_argument("--capacity-viewers", help="viewers at which the node is full (RIVULET_CAPACITY_VIEWERS; 500)")
    parser.add_argument("--egress-mbps", help="bandwidth to spread bursts over (RIVULET_EGRESS_MBPS; 1000)")
    parser.add_argument(
        "--gather-ms",
        help="how long a publisher's frame, and sound beside it, is held to leave at once (RIVULET_GATHER_MS; 20)",
    )
    parser.add_argument(
        "--link-seconds",
        help="how long a link to a parent that carries no relay is kept (RIVULET_LINK_SECONDS; 60); "
        "0: no links, to parents or of others",
    )
    parser.add_argument(
        "--link-mbps",
        help="from so much on a link to a parent takes no more relays; they go by another (RIVULET_LINK_MBPS; 400)",
    )
    parser.add_argument("--publisher-mbps", help="what one publisher may send (RIVULET_PUBLISHER_MBPS; 50)")
    parser.add_argument("--log-level", help=f"{', '.join(LEVELS)} (RIVULET_LOG_LEVEL; info)")


def read(args: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> NodeSettings:
    """Flags first, then the environment. SettingsError names what is missing or wrong."""
    reader = _Reader(args, environment)
    entry = reader.url("entry")
    return NodeSettings(
        entry=entry,
        join_token=reader.secret("join_token"),
        role=reader.role("role"),
        slot=reader.slot("slot"),
        bind=reader.text("bind") or everywhere(),
        http_port=reader.number("http_port", 8080, 0, 65535),
        media_port=reader.number("media_port", 7000, 0, 65535),
        media_threads=reader.number("media_threads", 0, 0, MOST_THREADS),
        media_tcp=reader.one_of("media_tcp", ("on", "off")) != "off",
        kube_node=reader.text("kube_node") or socket.gethostname(),
        pod_ip=reader.text("pod_ip") or address_towards(entry),
        pod_uid=reader.text("pod_uid"),
        drain_seconds=float(reader.number("drain_seconds", 600, 0, _MAX_DRAIN_SECONDS)),
        capacity_viewers=reader.number("capacity_viewers", 500, 0, 1_000_000),
        egress_mbps=reader.number("egress_mbps", 1000, 1, 1_000_000),
        gather_ms=reader.number("gather_ms", 20, 0, _MAX_GATHER_MS),
        link_seconds=float(reader.number("link_seconds", 60, 0, 86_400)),
        link_mbps=reader.number("link_mbps", 400, 1, 100_000),
        publisher_mbps=reader.number("publisher_mbps", 50, 1, 10_000),
        log_level=reader.one_of("log_level", LEVELS) or "info",
    )


def address_towards(url: str) -> str:
    """The local address from which `url`'s host is reached; "" when it cannot be known now. Sends nothing."""
    parts = urlsplit(url)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, target = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0]).partition("%")[0]
    except OSError:
        return ""


@dataclass(frozen=True)
class _Reader:
    args: argparse.Namespace
    environment: Mapping[str, str]

    def text(self, name: str) -> str:
        flag = getattr(self.args, name, None)
        return str(flag if flag is not None else self.environment.get(_variable(name), "")).strip()

    def url(self, name: str) -> str:
        text = self.text(name).rstrip("/")
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(f"{_names(name)} must be the URL of a director, such as http://10.0.0.1:7443")
        return text

    def number(self, name: str, default: int, low: int, high: int) -> int:
        text = self.text(name) or str(default)
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise SettingsError(f"{_names(name)} must be a whole number from {low} to {high}, not {text!r}")
        return int(text)

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        text = self.text(name).lower()
        if text and text not in choices:
            raise SettingsError(f"{_names(name)} must be one of {', '.join(choices)}, not {text!r}")
        return text

    def role(self, name: str) -> MediaRole | None:
        text = self.one_of(name, ("origin", "edge"))
        return "origin" if text == "origin" else "edge" if text == "edge" else None

    def slot(self, name: str) -> str | None:
        text = self.text(name)
        if text and not _SLOT.fullmatch(text):
            raise SettingsError(f"{_names(name)} must be a DNS label, such as edge-eu-0, not {text!r}")
        return text or None

    def secret(self, name: str) -> str:
        text = getattr(self.args, name, None) or self._from_file(self.text(f"{name}_file"))
        if not text:
            raise SettingsError(f"the {name.replace('_', ' ')} is missing: set {_names(f'{name}_file')}")
        return str(text)

    def _from_file(self, path: str) -> str:
        try:
            return Path(path).read_text(encoding="utf-8").strip() if path else ""
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"cannot read {path}: {error}") from error


def _variable(name: str) -> str:
    return f"RIVULET_{name.upper()}"


def _names(name: str) -> str:
    return f"--{name.replace('_', '-')} ({_variable(name)})"
