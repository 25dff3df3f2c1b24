"""Who this node is: what it says of itself, and what a director's answer makes of it. Pure."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from rivulet_media import __version__
from rivulet_media.addresses import MOST_ADDRESSES
from rivulet_media.listening import ANY
from rivulet_media.settings import NodeSettings
from rivulet_media.table import Capacity, NodeEntry, Pod, Role, StreamEntry
from rivulet_media.wire import Hello, LinkHello, Welcome

FIRST_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Process:
    """One run of the process: its incarnation, its ports as bound, when it started (Unix seconds)."""

    settings: NodeSettings
    incarnation: str
    http_port: int
    media_port: int
    pod_ip: str
    since: float

    def hello(self, entry: NodeEntry | None) -> Hello:
        """The first words to a director; `entry`: what an earlier answer made of this node."""
        settings = self.settings
        slot: str | None = entry.node if entry else settings.slot
        role: Role | None = entry.role if entry else settings.role
        return Hello(
            slot=slot,
            incarnation=self.incarnation,
            role=role,
            http_port=self.http_port,
            media_port=self.media_port,
            kube_node=settings.kube_node,
            pod_ip=self.pod_ip or None,
            pod_uid=settings.pod_uid,
            capacity=Capacity(viewers=settings.capacity_viewers),
            version=entry.version if entry else FIRST_VERSION,
            software=__version__,
        )

    def link_hello(self, entry: NodeEntry, streams: tuple[StreamEntry, ...]) -> LinkHello:
        """The first frame of a link."""
        hello = self.hello(entry)
        names = [item.name for item in dataclasses.fields(Hello)]
        fields = {name: getattr(hello, name) for name in names}
        return LinkHello(**fields, node=entry, streams=streams)

    def entry(self, welcome: Welcome) -> NodeEntry:
        """This node's entry, as its region has answered."""
        pod_ip = self.pod_ip or welcome.address
        return NodeEntry(
            node=welcome.slot,
            incarnation=self.incarnation,
            version=FIRST_VERSION,
            role=welcome.role,
            region=welcome.region,
            state="up",
            address=welcome.address,
            also=welcome.also,
            media_port=self.media_port,
            http=f"{in_url(pod_ip)}:{self.http_port}",
            pod=Pod(ip=pod_ip, uid=self.settings.pod_uid, cluster=welcome.cluster),
            kube_node=self.settings.kube_node,
            capacity=Capacity(viewers=self.settings.capacity_viewers),
            since=self.since,
        )


def client_candidates(entry: NodeEntry, *, pod_candidate: bool) -> list[tuple[str, int]]:
    """Addresses for publishers and viewers, best first; the pod's is for the cluster's TURN servers."""
    addresses = entry.addresses[:MOST_ADDRESSES]
    return _on_media_port(entry, (*addresses, entry.pod.ip) if pod_candidate else addresses)


def relay_candidates(entry: NodeEntry, cluster: str) -> list[tuple[str, int]]:
    """Addresses for another node: pod ranges of clusters overlap, so the pod's is for the same cluster only."""
    addresses = entry.addresses[:MOST_ADDRESSES]
    within = cluster and cluster == entry.pod.cluster
    return _on_media_port(entry, (entry.pod.ip, *addresses) if within else addresses)


def _on_media_port(entry: NodeEntry, addresses: Iterable[str]) -> list[tuple[str, int]]:
    return [(address, entry.media_port) for address in dict.fromkeys(addresses)]


def unheard(addresses: Iterable[str], bind: str) -> str | None:
    """What is wrong with being advertised under `addresses` while listening on `bind`; None: nothing."""
    if bind == ANY:
        return None
    deaf = [address for address in addresses if (":" in address) != (":" in bind)]
    if not deaf:
        return None
    family = "IPv4" if ":" in bind else "IPv6"
    return (
        f"clients are told {', '.join(deaf)}, but nothing listens on {family} here: this node is bound to {bind}. "
        f"Set RIVULET_BIND to ::, on a host that has IPv6, or take the address out of the region's addressMap"
    )


def in_url(address: str) -> str:
    """An IP address as a URL's host."""
    return f"[{address}]" if ":" in address else address
