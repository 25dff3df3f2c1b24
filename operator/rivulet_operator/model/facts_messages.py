"""Director's frames (docs/contract.md §7.5) read into facts, and one director's words kept up to date."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rivulet_operator.model.facts import ENDED, Counts, Facts, NodeFact, Peer, StreamFact, Track, Undeclared

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rivulet_operator.model.kinds import Json

ENDED_KEPT = 200


@dataclass(frozen=True, kw_only=True)
class Words:
    """All that one director has said over its link. `nodes` by reference, `streams` by name and incarnation."""

    settling: bool
    nodes: Mapping[str, NodeFact]
    streams: Mapping[tuple[str, str], StreamFact]
    undeclared: tuple[Undeclared, ...] = ()
    peers: tuple[Peer, ...] = ()


def snapshot(frame: Json) -> Words:
    """The first frame.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: the frame is malformed.
    """
    nodes = [_node(entry) for entry in frame["nodes"]]
    streams = [_stream(entry) for entry in frame["streams"]]
    return Words(
        settling=bool(frame["settling"]),
        nodes={node.ref: node for node in nodes},
        streams={(stream.stream, stream.incarnation): stream for stream in streams},
        undeclared=_undeclared(frame["undeclared"]),
        peers=_peers(frame["peers"]),
    )


def changed(words: Words, frame: Json) -> Words:
    """After a `change`: entries that are not named stay, `undeclared` and `peers` are whole lists.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: the frame is malformed.
    """
    gone = {f"{entry['node']}/{entry['incarnation']}" for entry in frame.get("gone") or ()}
    nodes = {ref: node for ref, node in words.nodes.items() if ref not in gone}
    streams = {key: stream for key, stream in words.streams.items() if stream.origin not in gone}
    for node in map(_node, frame.get("nodes") or ()):
        nodes[node.ref] = _with_known_counts(node, nodes.get(node.ref))
    for stream in map(_stream, frame.get("streams") or ()):
        streams[stream.stream, stream.incarnation] = stream
    return Words(
        settling=words.settling if frame.get("settling") is None else bool(frame["settling"]),
        nodes=nodes,
        streams=_without_old(streams),
        undeclared=words.undeclared if frame.get("undeclared") is None else _undeclared(frame["undeclared"]),
        peers=words.peers if frame.get("peers") is None else _peers(frame["peers"]),
    )


def _with_known_counts(node: NodeFact, known: NodeFact | None) -> NodeFact:
    """Counts stay true of the same word only: what was counted before a node drained says nothing of it since."""
    same = known is not None and known.version == node.version and known.state == node.state
    return replace(node, counts=known.counts) if known is not None and same and node.counts is None else node


def _without_old(streams: Mapping[tuple[str, str], StreamFact]) -> Mapping[tuple[str, str], StreamFact]:
    """Nobody tells when an ended publication leaves the table: the last ones are enough to tell why they ended."""
    ended = sorted((s for s in streams.values() if s.state == ENDED), key=lambda s: s.since, reverse=True)
    old = {(stream.stream, stream.incarnation) for stream in ended[ENDED_KEPT:]}
    return {key: stream for key, stream in streams.items() if key not in old}


def merged(linked: Iterable[Words], last: Facts) -> Facts:
    """What all linked and settled directors say together; if there are none, what was said last."""
    words = list(linked)
    settled = [said for said in words if not said.settling]
    if not settled:
        return replace(last, fresh=False)
    return Facts(
        told=True,
        fresh=True,
        nodes=_newest_nodes(node for said in settled for node in said.nodes.values()),
        streams=_newest_streams(stream for said in settled for stream in said.streams.values()),
        undeclared=tuple({ask.stream: ask for said in settled for ask in said.undeclared}.values()),
        peers=_peers_of_all(peer for said in settled for peer in said.peers),
    )


def _newest_nodes(nodes: Iterable[NodeFact]) -> tuple[NodeFact, ...]:
    newest: dict[str, NodeFact] = {}
    for node in nodes:
        known = newest.get(node.ref)
        if known is None or _node_rank(node) > _node_rank(known):
            newest[node.ref] = node
    return tuple(newest[ref] for ref in sorted(newest))


def _node_rank(node: NodeFact) -> tuple[int, bool, int]:
    """Later version; at equal versions down wins; then the greater load, so that nobody is overlooked."""
    load = node.counts.viewers + node.counts.publishers + node.counts.relays_out if node.counts else -1
    return node.version, node.state == "down", load


def _newest_streams(streams: Iterable[StreamFact]) -> tuple[StreamFact, ...]:
    newest: dict[tuple[str, str], StreamFact] = {}
    for stream in streams:
        known = newest.get((stream.stream, stream.incarnation))
        if known is None or stream.version > known.version:
            newest[stream.stream, stream.incarnation] = stream
    return tuple(newest[key] for key in sorted(newest))


def _peers_of_all(peers: Iterable[Peer]) -> tuple[Peer, ...]:
    """A region is connected when one director has the link."""
    best: dict[str, Peer] = {}
    for peer in peers:
        if peer.region not in best or peer.connected:
            best[peer.region] = peer
    return tuple(best[region] for region in sorted(best))


def _node(entry: Json) -> NodeFact:
    counts = entry.get("counts")
    return NodeFact(
        slot=entry["node"],
        incarnation=entry["incarnation"],
        version=int(entry["version"]),
        role=entry["role"],
        region=entry["region"],
        state=entry["state"],
        since=float(entry.get("since", 0.0)),
        counts=None if counts is None else _counts(counts),
    )


def _counts(counts: Json) -> Counts:
    return Counts(
        viewers=int(counts.get("viewers", 0)),
        publishers=int(counts.get("publishers", 0)),
        relays_out=int(counts.get("relaysOut", 0)),
        streams={name: int(count.get("viewers", 0)) for name, count in counts.get("streams", {}).items()},
        pulls={name: str(pull.get("error") or "") for name, pull in counts.get("pulls", {}).items()},
    )


def _stream(entry: Json) -> StreamFact:
    return StreamFact(
        stream=entry["stream"],
        incarnation=entry["incarnation"],
        version=int(entry["version"]),
        origin=entry["origin"],
        region=entry["region"],
        state=entry["state"],
        since=float(entry["since"]),
        tracks=tuple(_track(track) for track in entry.get("tracks", ())),
        reason=entry.get("reason"),
    )


def _track(entry: Json) -> Track:
    return Track(kind=entry["kind"], codec=entry["codec"], fmtp=entry.get("fmtp") or "")


def _undeclared(entries: list[Json]) -> tuple[Undeclared, ...]:
    return tuple(Undeclared(stream=entry["stream"], subject=entry.get("subject") or "") for entry in entries)


def _peers(entries: list[Json]) -> tuple[Peer, ...]:
    return tuple(_peer(entry) for entry in entries)


def _peer(entry: Json) -> Peer:
    return Peer(region=entry["region"], connected=bool(entry["connected"]), reason=entry.get("reason") or "")
