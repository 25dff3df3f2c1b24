"""What crosses the testbed's WAN between two regions, counted by the machine's own packet filter."""

from dataclasses import dataclass
from typing import Self

from rivulet_scene.command import output
from rivulet_scene.region import Region

CHAIN = "FORWARD"


@dataclass(frozen=True)
class Crossing:
    """Counts from entering to leaving the `with` block, both directions together."""

    one: Region
    other: Region

    def bytes(self, protocol: str) -> int:
        """IPv4 bytes of `protocol` (tcp, udp) so far, each twice: the machine forwards into the WAN and out of it."""
        listed = _iptables("-nvxL", CHAIN).splitlines()
        mine = (line.split() for line in listed if self._comment(protocol) in line)
        return sum(int(words[1]) for words in mine)

    def __enter__(self) -> Self:
        self._all("-I")
        return self

    def __exit__(self, *_: object) -> None:
        self._all("-D")

    def _all(self, what: str) -> None:
        for protocol in ("tcp", "udp"):
            for source, destination in ((self.one, self.other), (self.other, self.one)):
                path = ("-p", protocol, "-s", source.address, "-d", destination.address)
                _iptables(what, CHAIN, *path, "-m", "comment", "--comment", self._comment(protocol))

    def _comment(self, protocol: str) -> str:
        return f"crossing:{self.one.name}-{self.other.name}:{protocol}"


def _iptables(*arguments: str) -> str:
    return output(["iptables", "-w", "-t", "mangle", *arguments], seconds=10)
