"""How often somebody may ask: a bucket of tokens for each key that fills steadily. Pure: the time comes in.

Invariant: at most `MOST_KEYS` buckets are kept. Who has not asked for longest loses his, which had filled up long ago
unless there are that many others at once.
"""

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass

MOST_KEYS = 20_000


@dataclass(frozen=True)
class Rate:
    """`per_second` on the long run, `burst` at once. 0 a second: no limit."""

    per_second: float
    burst: float


class RateLimit:
    """One rate, kept for every key by itself."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key → tokens left, as of when

    def wait(self, key: str, now: float) -> int:
        """0: this request may pass, and is counted. Else whole seconds after which one may."""
        if self.rate.per_second <= 0:
            return 0
        tokens, since = self._buckets.pop(key, (self.rate.burst, now))
        tokens = min(self.rate.burst, tokens + (now - since) * self.rate.per_second)
        passes = tokens >= 1
        self._buckets[key] = (tokens - 1 if passes else tokens, now)
        if len(self._buckets) > MOST_KEYS:
            self._buckets.popitem(last=False)
        return 0 if passes else max(1, math.ceil((1 - tokens) / self.rate.per_second))


def of_address(address: str) -> str:
    """The key of a client: its IPv4 address, or the /64 of its IPv6 address, all one client's to choose from."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:  # noqa: PLR2004
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
