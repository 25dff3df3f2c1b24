"""The plan for a CDNRegion: secrets, directors and how they are reached, auto-Streams, and what its status says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rivulet_operator.manifests import director
from rivulet_operator.manifests.secrets import WANTED, mesh_secret
from rivulet_operator.model.conditions import Condition, fails, holds, not_ready, ready, reconciling, stalled
from rivulet_operator.model.facts import ENDED
from rivulet_operator.plan import auto_streams
from rivulet_operator.plan.outcome import Plan, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rivulet_operator.model.facts import Facts, Peer
    from rivulet_operator.model.kinds import Json
    from rivulet_operator.model.region import Region
    from rivulet_operator.model.stream import Stream

MISSING_SECRET_SECONDS = 3.0
TOLD = ("nodes", "nodesReady", "streams", "viewers")
SERVING = frozenset({"up", "full"})


@dataclass(frozen=True, kw_only=True)
class LiveDirectors:
    """The directors' Deployment as it stands; `template` was made with `revision`."""

    revision: str
    template: Json
    ready: int = 0
    rolled: bool = True
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class Home:
    """This cluster's own region and what is known of it. `secrets` are the names of those that exist."""

    region: Region
    image: str
    cluster: str
    facts: Facts
    directors: LiveDirectors | None = None
    others: Sequence[Region] = ()
    streams: Sequence[Stream] = ()
    secrets: frozenset[str] = frozenset()
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def peers(self) -> tuple[Region, ...]:
        """Other regions that can be meshed with."""
        return tuple(sorted((other for other in self.others if other.mesh_address), key=lambda region: region.name))


def plan_foreign(own: str) -> Plan:
    """For the CDNRegion of another place: a fact for the mesh, nothing to make."""
    message = f"A fact about another region; this cluster is region {own}, which makes nothing for it."
    return Plan(status=Status(conditions=(ready("NotThisRegion", message), stalled(), reconciling())))


def plan(home: Home, now: float) -> Plan:
    """For the CDNRegion that this cluster is."""
    made = _directors(home)
    autos = auto_streams.plan(home.region, home.streams, home.facts, now)
    missing = tuple(wanted for wanted in WANTED if wanted.name not in home.secrets)
    return Plan(
        secrets=missing,
        apply=(
            *director.access(home.region, _readable(home)),
            *director.services(home.region),
            director.deployment(home.region, made),
            *autos.apply,
        ),
        remove=autos.remove,
        status=Status(conditions=_conditions(home, made), fields=_fields(home)),
        again=_again(home, autos.again),
    )


def _readable(home: Home) -> list[str]:
    """Secrets that directors need: tokens of the mesh, and of the servers that streams are pulled from."""
    here = [stream.pull for stream in home.streams if stream.regions[0] == home.region.name]
    pulls = [pull.secret for pull in here if pull is not None and pull.secret]
    return [*(mesh_secret(other.name) for other in home.others), *pulls]


def _directors(home: Home) -> director.Made:
    """The template that stands while its revision does: an operator that renders it differently restarts nobody."""
    wanted = director.make(home.region, home.image, home.cluster)
    live = home.directors
    if live is not None and live.revision == wanted.revision and live.template:
        return director.Made(revision=live.revision, template=live.template)
    return wanted


def _again(home: Home, autos: float | None) -> float | None:
    missing = any(mesh_secret(peer.name) not in home.secrets for peer in home.peers)
    waits = [wait for wait in (autos, MISSING_SECRET_SECONDS if missing else None) if wait is not None]
    return min(waits) if waits else None


def _conditions(home: Home, made: director.Made) -> tuple[Condition, ...]:
    return (_ready(home), _stalled(home), _reconciling(home, made), _reachable(home), _mesh(home))


def _ready_directors(home: Home) -> int:
    return home.directors.ready if home.directors else 0


def _ready(home: Home) -> Condition:
    here, wanted = _ready_directors(home), home.region.directors.replicas
    trouble = f" {home.directors.trouble}" if home.directors and home.directors.trouble else ""
    if not here:
        return not_ready("DirectorsStarting", f"0 of {wanted} directors are ready.{trouble}")
    return ready("DirectorsReady", f"{here} of {wanted} directors are ready.{trouble}")


def _stalled(home: Home) -> Condition:
    trouble = home.directors.trouble if home.directors else ""
    return stalled("PodCannotRun", trouble) if trouble else stalled()


def _reconciling(home: Home, made: director.Made) -> Condition:
    live, wanted = home.directors, home.region.directors.replicas
    if live is None or live.revision != made.revision or not live.rolled:
        return reconciling("RollingOut", "The directors take the last change.")
    if live.ready < wanted:
        return reconciling("DirectorsStarting", f"{live.ready} of {wanted} directors are ready.")
    return reconciling()


def _reachable(home: Home) -> Condition:
    if home.facts.fresh:
        return holds("DirectorReachable", "Linked", "A director tells what is.")
    told = " What it said last stands." if home.facts.told else ""
    message = f"No settled director answers the operator.{told} Nothing is scaled down or rolled out until one does."
    return fails("DirectorReachable", "NoAnswer", message)


def _mesh(home: Home) -> Condition:
    if not home.peers:
        return holds("MeshReady", "NoPeers", "No other region is known with a mesh address.")
    missing = [peer.name for peer in home.peers if mesh_secret(peer.name) not in home.secrets]
    if missing:
        return fails("MeshReady", "NoToken", _no_token(home, missing))
    apart = [peer.name for peer in home.peers if not _connected(home, peer.name)]
    if apart:
        return fails("MeshReady", "Disconnected", " ".join(_why(home, name) for name in apart))
    return holds("MeshReady", "Connected", f"Linked with {_names(home)}.")


def _no_token(home: Home, missing: list[str]) -> str:
    peer, namespace = missing[0], home.region.identity.namespace
    names, mine = ", ".join(map(mesh_secret, missing)), mesh_secret(home.region.name)
    create = f"kubectl -n {namespace} create secret generic {mesh_secret(peer)} --from-literal=token=TOKEN"
    return (
        f"There is no Secret {names} in namespace {namespace}. Make one token and put it into both clusters;"
        f" here: {create}, in {peer} the same TOKEN as {mine}."
    )


def _names(home: Home) -> str:
    return ", ".join(peer.name for peer in home.peers)


def _peer(home: Home, name: str) -> Peer | None:
    return next((peer for peer in home.facts.peers if peer.region == name), None)


def _connected(home: Home, name: str) -> bool:
    peer = _peer(home, name)
    return peer is not None and peer.connected


def _why(home: Home, name: str) -> str:
    peer = _peer(home, name)
    return f"{name}: {peer.reason}." if peer is not None and peer.reason else f"{name}: no link yet."


def _fields(home: Home) -> Json:
    further = {host: list(also) for host, (_, *also) in home.addresses.items() if also}
    told = _told(home) if home.facts.told else {key: home.region.status.get(key, 0) for key in TOLD}
    return {
        **told,
        "nodeAddresses": {host: addresses[0] for host, addresses in home.addresses.items()},
        **({"nodeAddressesAlso": further} if further else {}),
        "peers": [_peer_status(home, other.name) for other in home.peers],
        "directors": {"replicas": home.region.directors.replicas, "ready": _ready_directors(home)},
    }


def _told(home: Home) -> Json:
    own = [node for node in home.facts.nodes if node.region == home.region.name]
    slots = {node.slot for node in own}
    serving = {node.slot for node in own if node.state in SERVING}
    live = {s.stream for s in home.facts.streams if s.region == home.region.name and s.state != ENDED}
    return {
        "nodes": len(slots),
        "nodesReady": len(serving),
        "streams": len(live),
        "viewers": sum(node.counts.viewers for node in own if node.counts),
    }


def _peer_status(home: Home, name: str) -> Json:
    if mesh_secret(name) not in home.secrets:
        return {"region": name, "connected": False, "reason": f"no Secret {mesh_secret(name)}"}
    peer = _peer(home, name)
    if peer is None:
        return {"region": name, "connected": False, "reason": "no link yet"}
    told: Json = {"region": name, "connected": peer.connected}
    return {**told, "reason": peer.reason} if peer.reason else told
