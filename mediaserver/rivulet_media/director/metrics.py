"""The director's metrics, read from what it knows when they are asked for."""

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from rivulet_media.director.directory import Directory

Counts = Counter[tuple[str, ...]]


class DirectorMetrics(Collector):
    """Gauges over the table and the links."""

    def __init__(self, directory: Directory, links: Callable[[], dict[str, int]]) -> None:
        self._directory = directory
        self._links = links
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def render(self) -> bytes:
        """Prometheus text."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All families, fresh."""
        table = self._directory.table
        nodes: Counts = Counter((entry.region, entry.role, entry.state) for entry in table.nodes)
        yield _family("nodes", "Nodes in the table", ("region", "role", "state"), nodes)
        streams: Counts = Counter((entry.region, entry.state) for entry in table.shown_streams)
        yield _family("streams", "Publications in the table", ("region", "state"), streams)
        links: Counts = Counter({(kind,): count for kind, count in self._links().items()})
        yield _family("links", "Links by what is at the other end", ("peer",), links)
        viewers = sum(reported.counts.viewers for reported in self._directory.counts.values())
        yield GaugeMetricFamily("rivulet_director_viewers", "Viewers on this region's nodes", value=viewers)
        settled = float(self._directory.settled)
        yield GaugeMetricFamily("rivulet_director_settled", "1 when the director may speak of absence", value=settled)


def _family(name: str, text: str, labels: tuple[str, ...], values: Counts) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"rivulet_director_{name}", text, labels=labels)
    for key, count in sorted(values.items()):
        family.add_metric(key, count)
    return family
