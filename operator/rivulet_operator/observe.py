"""What is, for each kind's plan: typed values from the cache and the directors' facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rivulet_operator.manifests import director
from rivulet_operator.model import labels, node, region, stream
from rivulet_operator.model.facts import Facts
from rivulet_operator.model.kinds import CDN_NODE, CDN_REGION, DEPLOYMENT, HOST, POD, STREAM
from rivulet_operator.model.slot import Pod, Slot, parse_pod, parse_slot, rolled, template_of
from rivulet_operator.plan.placement import taken_ports
from rivulet_operator.plan.pool import Pool
from rivulet_operator.plan.region import Home, LiveDirectors
from rivulet_operator.plan.stream import Name

if TYPE_CHECKING:
    from rivulet_operator.cache import Cache
    from rivulet_operator.manifests.choices import Images
    from rivulet_operator.model.kinds import Json
    from rivulet_operator.model.node import Node
    from rivulet_operator.model.region import Region
    from rivulet_operator.model.stream import Stream

DIRECTOR = "director"


@dataclass(frozen=True, kw_only=True)
class Installed:
    """What this install is, once the cluster has said who it is."""

    region: str
    namespace: str
    images: Images
    cluster: str


class Observer:
    """Reads the cache; `facts` is replaced whenever the directors say something."""

    def __init__(self, cache: Cache, installed: Installed) -> None:
        """Nothing is known of the directors' facts or of Secrets yet."""
        self._cache = cache
        self._installed = installed
        self.facts = Facts()
        self.secrets: frozenset[str] = frozenset()

    def regions(self) -> list[Region]:
        """All CDNRegions of the namespace."""
        return [region.parse(body) for body in self._cache.all(CDN_REGION) if _stays(body)]

    def own_region(self) -> Region | None:
        """This cluster's own."""
        body = self._cache.get(CDN_REGION, self._installed.region)
        return region.parse(body) if body is not None and _stays(body) else None

    def node(self, name: str) -> Node | None:
        """A CDNNode by name."""
        body = self._cache.get(CDN_NODE, name)
        return node.parse(body) if body is not None and _stays(body) else None

    def stream(self, name: str) -> Stream | None:
        """A Stream by its object's name."""
        body = self._cache.get(STREAM, name)
        return stream.parse(body) if body is not None and _stays(body) else None

    def streams(self) -> list[Stream]:
        """All Streams."""
        return [stream.parse(body) for body in self._cache.all(STREAM) if _stays(body)]

    def slots(self) -> list[Slot]:
        """All slots of the region, also those being deleted; a slot that only pods remember has no name to give."""
        pods = self._pods_by(labels.SLOT)
        bodies = [body for body in self._cache.all(DEPLOYMENT) if labels.SLOT in body["metadata"]["labels"]]
        return [parse_slot(body, pods.get(body["metadata"]["name"], ())) for body in bodies]

    def pool(self, of: Node, own: Region) -> Pool:
        """Everything about a CDNNode."""
        slots = self.slots()
        stray = {port for pod in self._pods() for port in pod.ports}
        return Pool(
            node=of,
            region=own,
            images=self._installed.images,
            facts=self.facts,
            slots=tuple(slot for slot in slots if slot.pool == of.name),
            taken=taken_ports(slots) | stray,
            addresses=self.addresses(own),
        )

    def home(self, own: Region) -> Home:
        """Everything about this cluster's own region."""
        return Home(
            region=own,
            image=own.defaults.image or self._installed.images.media,
            cluster=self._installed.cluster,
            facts=self.facts,
            directors=self._live_directors(),
            others=[other for other in self.regions() if other.name != own.name],
            streams=self.streams(),
            secrets=self.secrets,
            addresses=self.addresses(own),
        )

    def name(self, of: Stream) -> Name:
        """Everything about a Stream's published name."""
        claims = [other for other in self.streams() if other.name == of.name]
        own = self._installed.region
        return Name(stream=of, claims=claims, own=own, region=self.own_region(), facts=self.facts)

    def addresses(self, own: Region) -> dict[str, tuple[str, ...]]:
        """Where each host is reached, the best first: as the region's map says, else as Kubernetes knows it."""
        found = {body["metadata"]["name"]: host_addresses(body) for body in self._cache.all(HOST)}
        return {host: mapped for host, ips in found.items() if (mapped := own.defaults.addresses.get(host) or ips)}

    def director_pods(self) -> list[Pod]:
        """The directors' pods that may be linked with, in any state but gone."""
        return [pod for pod in self._component(DIRECTOR) if pod.ip and not pod.ending]

    def _live_directors(self) -> LiveDirectors | None:
        body = self._cache.get(DEPLOYMENT, director.NAME)
        if body is None:
            return None
        marks = body["metadata"].get("annotations", {})
        pods = self._component(DIRECTOR)
        return LiveDirectors(
            revision=marks.get(labels.REVISION, ""),
            template=template_of(body),
            ready=body.get("status", {}).get("readyReplicas", 0),
            rolled=rolled(body),
            trouble=next((f"{pod.name}: {pod.trouble}" for pod in pods if pod.trouble), ""),
        )

    def _component(self, name: str) -> list[Pod]:
        return [parse_pod(p) for p in self._cache.all(POD) if p["metadata"]["labels"].get(labels.COMPONENT) == name]

    def _pods(self) -> list[Pod]:
        return [parse_pod(body) for body in self._cache.all(POD)]

    def _pods_by(self, label: str) -> dict[str, list[Pod]]:
        found: dict[str, list[Pod]] = {}
        for body in self._cache.all(POD):
            found.setdefault(body["metadata"]["labels"].get(label, ""), []).append(parse_pod(body))
        return found


def _stays(body: Json) -> bool:
    """It is not being deleted: nothing is made for what goes, or the garbage collector would never be done."""
    return "deletionTimestamp" not in body["metadata"]


def host_addresses(host: Json) -> tuple[str, ...]:
    """A Kubernetes node's ExternalIPs, else its InternalIPs: of each family the first, in the node's own order."""
    entries = host.get("status", {}).get("addresses", [])
    for kind in ("ExternalIP", "InternalIP"):
        first: dict[bool, str] = {}
        for entry in entries:
            if entry["type"] == kind:
                first.setdefault(":" in entry["address"], entry["address"])
        if first:
            return tuple(first.values())
    return ()
