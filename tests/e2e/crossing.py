"""What crosses the testbed's WAN between two regions, counted by the machine's own packet filter."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from rivulet_scene.command import output
from rivulet_scene.region import Region

CHAIN = "FORWARD"


@dataclass(frozen=True)
class Crossing:
    """Both directions together."""

    one: Region
    other: Region

    def bytes(self, protocol: str) -> int:
        """IPv4 bytes of `protocol` (tcp, udp) so far, each twice: the machine forwards into the WAN and out of it."""
        listed = _iptables("-nvxL", CHAIN).splitlines()
        mine = (line.split() for line in listed if self.comment(protocol) in line)
        return sum(int(words[1]) for words in mine)

    def comment(self, protocol: str) -> str:
        """What the rules that count `protocol` are known by."""
        return f"crossing:{self.one.name}-{self.other.name}:{protocol}"


@contextlib.contextmanager
def crossing(one: Region, other: Region) -> Iterator[Crossing]:
    """Count from here to the end of the `with` block."""
    counted = Crossing(one, other)
    with contextlib.ExitStack() as rules:
        for protocol in ("tcp", "udp"):
            for source, destination in ((one, other), (other, one)):
                path = ("-p", protocol, "-s", source.address, "-d", destination.address)
                rule = (CHAIN, *path, "-m", "comment", "--comment", counted.comment(protocol))
                _iptables("-I", *rule)
                rules.callback(_iptables, "-D", *rule)
        yield counted


def _iptables(*arguments: str) -> str:
    return output(["iptables", "-w", "-t", "mangle", *arguments], seconds=10)
