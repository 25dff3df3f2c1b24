"""Links that this node has opened: by which one a new relay goes, and when one has to go. Sans-IO; the time comes in.

Invariant: a leg is on one link from `leg_began` until `leg_left` or `gone`; no link without legs stays longer than
`keep_seconds`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# A link takes no new legs after a day: each SSRC may seal 2^31 reports (RFC 7714 §11), in decades, so this is early.
LIFE_SECONDS = 86_400.0
# A parent takes 65,536 SSRCs a link; a leg has eight at most. At half of it the next link is begun.
MOST_LEGS = 4_096
# Both sides check each 3 s, so a second more means that checks get lost, and new legs try another link. A relay whose
# media have stopped is opened again after 4.5 s (3 of silence, 1 of grace, a delay of 0.5) and has to know by then.
SILENT_SECONDS = 4.0
# What was read so lately needs no reading again.
FRESH_SECONDS = 0.1
# A parent that has no links, or to which none comes about, is asked for single relays for so long.
WITHOUT_SECONDS = 60.0


@dataclass
class _Kept:
    parent: str
    opened_at: float
    legs: set[str] = field(default_factory=set)
    begun: int = 0
    bps: float = 0.0
    unused_since: float | None = None
    worn: bool = False
    heard_at: float | None = None

    def silent(self, now: float) -> bool:
        """Whether its peer may have proved nothing for too long: it may have been heard since that was read."""
        return self.heard_at is not None and now - self.heard_at > SILENT_SECONDS


@dataclass(frozen=True)
class LegReading:
    """How much has come by a leg so far."""

    link: str
    bytes: int


class LinksIn:
    """All of them, by the engine's names. `keep_seconds`: how long one without legs is kept.

    `split_bps`: one link is one flow of UDP, one queue of a network card and one data thread at either end, good for
    some Gbit/s. From so much on (bit/s) new legs get another link, and with it another flow.
    """

    def __init__(self, keep_seconds: float, split_bps: float) -> None:
        self._keep_seconds = keep_seconds
        self._split_bps = split_bps
        self._links: dict[str, _Kept] = {}
        self._without: dict[str, float] = {}
        self._readings: dict[str, LegReading] = {}
        self._read_at: float | None = None
        self._heard_at = float("-inf")

    @property
    def count(self) -> int:
        """How many there are now."""
        return len(self._links)

    def choose(self, parent: str, now: float) -> str | None:
        """The link by which a new leg from this parent goes; None: a new one."""
        fitting = (name for name, link in self._links.items() if link.parent == parent and self._takes_more(link, now))
        return min(fitting, key=lambda name: self._links[name].bps, default=None)

    def in_doubt(self, parent: str, now: float) -> bool:
        """Whether `heard` may bring back a link to this parent; else `choose` knows enough."""
        links = (link for link in self._links.values() if link.parent == parent)
        return now - self._heard_at > FRESH_SECONDS and any(link.silent(now) for link in links)

    def opened(self, link: str, parent: str, now: float) -> None:
        """There is a new one."""
        self._links[link] = _Kept(parent, now, unused_since=now)

    def leg_began(self, link: str, leg: str) -> None:
        """A relay goes by it."""
        kept = self._links[link]
        kept.legs.add(leg)
        kept.begun += 1
        kept.unused_since = None

    def leg_left(self, link: str, leg: str, now: float) -> None:
        """A relay goes by it no more."""
        kept = self._links.get(link)
        if kept is None:
            return
        kept.legs.discard(leg)
        if not kept.legs and kept.unused_since is None:
            kept.unused_since = now

    def gone(self, link: str) -> None:
        """It has ended."""
        self._links.pop(link, None)

    def worn(self, link: str) -> None:
        """The parent refuses SSRCs on it: the next leg gets another."""
        if link in self._links:
            self._links[link].worn = True

    def without_links(self, parent: str, now: float) -> None:
        """This parent has no links, or none comes about."""
        self._without = {name: until for name, until in self._without.items() if until > now}
        self._without[parent] = now + WITHOUT_SECONDS

    def has_links(self, parent: str, now: float) -> bool:
        """Whether it is worth asking this parent for a link."""
        return self._without.get(parent, now) <= now

    def heard(self, silence: Mapping[str, float], now: float) -> None:
        """How long (s) each link has heard nothing of its peer."""
        self._heard_at = now
        for name in silence.keys() & self._links.keys():
            self._links[name].heard_at = now - silence[name]

    def read(self, legs: Mapping[str, LegReading], now: float) -> None:
        """How much has come; call at a steady pace."""
        seconds = max(now - self._read_at, 0.001) if self._read_at is not None else None
        for link in self._links.values():
            link.bps = 0.0
        for name, reading in legs.items():
            before = self._readings.get(name)
            kept = self._links.get(reading.link)
            if kept is not None and before is not None and seconds is not None:
                kept.bps += 8 * max(0, reading.bytes - before.bytes) / seconds
        self._readings, self._read_at = dict(legs), now

    @property
    def deadline(self) -> float | None:
        """When `due` wants to be asked."""
        return min((since + self._keep_seconds for since in self._unused()), default=None)

    def due(self, now: float) -> tuple[str, ...]:
        """Links that were without legs for long enough."""
        over = now - self._keep_seconds
        links = self._links.items()
        return tuple(name for name, link in links if link.unused_since is not None and link.unused_since <= over)

    def _unused(self) -> Iterable[float]:
        return (link.unused_since for link in self._links.values() if link.unused_since is not None)

    def _takes_more(self, link: _Kept, now: float) -> bool:
        fresh = now - link.opened_at < LIFE_SECONDS and link.begun < MOST_LEGS and not link.worn
        return fresh and not link.silent(now) and link.bps < self._split_bps
