"""Prometheus metrics of a node: read when scraped, few labels, never one per session or stream."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from rivulet_media import __version__
from rivulet_media.links import Links
from rivulet_media.relaying import Relaying
from rivulet_media.sessions import Sessions
from rivulet_media.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from rivulet_media._engine import EngineStats

# name, help, key of the engine's statistics
_COUNTERS = (
    ("rivulet_packets_sent", "Datagrams to viewers and relays: media, repairs, reports", "packets_sent"),
    (
        "rivulet_bytes_sent",
        "Bytes of datagrams to viewers and relays, without headers of IP, UDP and TCP",
        "bytes_sent",
    ),
    (
        "rivulet_packets_received",
        "Datagrams of all kinds that came to the media port or from a parent",
        "packets_received",
    ),
    ("rivulet_bytes_received", "Bytes of datagrams that came, without headers of IP, UDP and TCP", "bytes_received"),
    ("rivulet_send_calls", "System calls that sent media", "send_calls"),
    ("rivulet_gso_messages", "Messages that the kernel has segmented", "gso_messages"),
    ("rivulet_send_would_block", "Times that the socket's buffer was full", "would_block"),
    ("rivulet_unknown_datagrams", "Datagrams that are garbage, or from nobody we know", "unknown_datagrams"),
    ("rivulet_engine_ticks", "Turns of the engine's threads", "ticks"),
    (
        "rivulet_dropped_bursts",
        "Bursts that one media thread could not give another, which was behind",
        "dropped_bursts",
    ),
    ("rivulet_tcp_connections_accepted", "Media connections (TCP) that were taken", "tcp_accepted"),
    ("rivulet_tcp_connections_dialled", "Media connections (TCP) opened to parents", "tcp_dialled"),
    (
        "rivulet_tcp_congestion_refused",
        "Relays' connections that could not have the congestion control wanted (bbr)",
        "tcp_congestion_refused",
    ),
    ("rivulet_tcp_queue_cuts", "Times that late video was dropped from a connection's queue", "tcp_cuts"),
)


@dataclass(frozen=True)
class NodeCollector(Collector):
    """Reads the node's state at every scrape."""

    stats: Callable[[], "EngineStats"]
    sessions: Sessions
    relaying: Relaying
    events: ViewerEvents
    links: Links
    state: Callable[[], str]
    directors_linked: Callable[[], int]

    def collect(self) -> Iterator[Metric]:
        """All metrics, as they are now."""
        stats = self.stats()
        yield self._sessions_metric()
        yield self._relays_metric()
        yield self._links_metric()
        yield GaugeMetricFamily(
            "rivulet_event_streams", "Viewers' event streams that are open", value=self.events.count
        )
        for name, text, key in _COUNTERS:
            yield CounterMetricFamily(name, text, value=stats[key])  # type: ignore[literal-required]
        text = "Relays over TCP that a parent has refused, which takes no media over TCP"
        yield CounterMetricFamily("rivulet_relays_without_tcp", text, value=self.relaying.without_tcp)
        yield from _connections(stats)
        yield from self._quality(stats)
        yield GaugeMetricFamily("rivulet_directors_linked", "Directors with a link", value=self.directors_linked())
        state = GaugeMetricFamily("rivulet_node_state", "1 for the node's state in the table", labels=["state"])
        state.add_metric([self.state()], 1)
        yield state
        info = GaugeMetricFamily("rivulet_build_info", "1, labelled with the version", labels=["version"])
        info.add_metric([__version__], 1)
        yield info

    def _sessions_metric(self) -> Metric:
        family = GaugeMetricFamily("rivulet_sessions", "Sessions that clients opened", labels=["kind"])
        family.add_metric(["publisher"], self.sessions.count("publisher"))
        family.add_metric(["viewer"], self.sessions.count("viewer"))
        return family

    def _relays_metric(self) -> Metric:
        family = GaugeMetricFamily(
            "rivulet_relays", "Streams pulled by this node (in) or from it (out)", labels=["direction"]
        )
        family.add_metric(["in"], len(self.relaying.relays_in))
        family.add_metric(["out"], self.sessions.count("relay_out"))
        return family

    def _links_metric(self) -> Metric:
        text = "Sessions that carry many relays: opened by this node (in) or to it (out)"
        family = GaugeMetricFamily("rivulet_links", text, labels=["direction"])
        family.add_metric(["in"], self.links.inward.count)
        family.add_metric(["out"], self.links.outward.count)
        return family

    def _quality(self, stats: "EngineStats") -> Iterator[Metric]:
        viewers = [session for session in stats["sessions"] if session["kind"] == "viewer"]
        gap = max((session["longest_gap_ms"] for session in viewers), default=0) / 1000
        cut = sum(session["cut"] for session in viewers)
        nacks, repaired, given_up, late = (
            sum(session[key] for session in stats["sessions"]) for key in ("nacks", "repaired", "given_up", "late")
        )
        pending = stats["pending_handshakes"]
        lateness = stats["loop_lateness_ms"] / 1000
        text = "Longest time between two video packets sent to any viewer who is here now"
        yield GaugeMetricFamily("rivulet_viewer_longest_gap_seconds", text, value=gap)
        yield GaugeMetricFamily("rivulet_viewer_cuts", "Late queues cut, of viewers who are here now", value=cut)
        yield GaugeMetricFamily("rivulet_session_nacks", "Packets asked for again, sessions here now", value=nacks)
        yield GaugeMetricFamily("rivulet_session_repaired", "Packets repaired, sessions here now", value=repaired)
        text = "Packets from publishers and parents that repair gave up, of sessions that are here now"
        yield GaugeMetricFamily("rivulet_session_given_up", text, value=given_up)
        text = "Packets from parents over TCP that came too late and were dropped, of sessions that are here now"
        yield GaugeMetricFamily("rivulet_session_late", text, value=late)
        yield GaugeMetricFamily("rivulet_pending_handshakes", "Sessions being set up", value=pending)
        yield GaugeMetricFamily("rivulet_engine_lateness_seconds", "Worst lateness of a timer lately", value=lateness)


def _connections(stats: "EngineStats") -> Iterator[Metric]:
    yield GaugeMetricFamily("rivulet_tcp_connections", "Media connections (TCP) now", value=stats["tcp_connections"])
    text = "Media connections (TCP) that the node did not keep: no room, no valid check in time, no frames of a session"
    family = CounterMetricFamily("rivulet_tcp_connections_rejected", text, labels=["reason"])
    family.add_metric(["full"], stats["tcp_refused"])
    family.add_metric(["silent"], stats["tcp_silent"])
    family.add_metric(["garbage"], stats["tcp_garbage"])
    family.add_metric(["displaced"], stats["tcp_displaced"])
    yield family


def renderer(collector: NodeCollector) -> Callable[[], bytes]:
    """A function that gives the Prometheus text of now."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    ProcessCollector(registry=registry)
    return lambda: generate_latest(registry)
