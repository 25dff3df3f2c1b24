"""The classic answer: which edge's name comes next (docs/contract.md §9). Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from rivulet_media.director.resources import CDNRegion
from rivulet_media.table import NodeEntry

DEFAULT_PORT = "8080"


class RoundRobin:
    """Strictly in turn over slots in the order of their names, however the set changes between two answers."""

    def __init__(self) -> None:
        self._last = ""

    def next(self, edges: Iterable[NodeEntry]) -> NodeEntry | None:
        """The edge after the last one; None when there is none."""
        by_slot = {entry.node: entry for entry in sorted(edges, key=lambda entry: entry.since)}
        if not by_slot:
            return None
        later = [slot for slot in by_slot if slot > self._last]
        self._last = min(later or by_slot)
        return by_slot[self._last]


@dataclass(frozen=True)
class ServerList:
    """The answer's four texts."""

    server: str
    ws: str

    def as_json(self) -> dict[str, str]:
        """Exactly the classic keys, all strings."""
        return {"server": self.server, "flash": "1935", "ws": self.ws, "wss": "443"}


def server_list(sheet: CDNRegion, slot: str) -> ServerList:
    """The answer that names one edge."""
    _, port = split_host(sheet.spec.host)
    return ServerList(server_name(sheet, slot), port or DEFAULT_PORT)


def server_name(sheet: CDNRegion, slot: str) -> str:
    """Where a client reaches one node: a name of its own, or a path under the region's host."""
    if sheet.spec.balancer.node_names:
        host, _ = split_host(sheet.spec.host)
        return f"{slot}.{host}"
    return f"{sheet.spec.host}/n/{slot}"


def split_host(host: str) -> tuple[str, str]:
    """`host` or `host:port` (IPv6 in brackets) as both parts; the port may be empty."""
    name, separator, port = host.rpartition(":")
    if separator and port.isdecimal():
        return name, port
    return host, ""
