"""What a soak notes of its processes while it runs, and what it makes of that: pure, but for reading /proc."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

KIB = 1024
# Parts of the run whose medians are compared: after the warm-up, and at the end.
EARLY, LATE = (0.2, 0.45), (0.75, 1.0)
# From the middle of one to the middle of the other, of the whole run.
BETWEEN = sum(LATE) / 2 - sum(EARLY) / 2


@dataclass(frozen=True)
class Sample:
    """One look at a process: seconds since the soak began, resident memory, UDP and TCP sockets, other open files."""

    at: float
    rss: int
    udp: int
    tcp: int
    files: int


@dataclass
class Account:
    """All looks at one process."""

    name: str
    samples: list[Sample] = field(default_factory=list)

    def memory(self) -> tuple[float, float]:
        """Median resident memory early and late, in MiB; (0, 0) when it was not seen in one of them."""
        whole = max((sample.at for sample in self.samples), default=0.0)
        parts = [
            [sample.rss for sample in self.samples if first * whole <= sample.at <= last * whole]
            for first, last in (EARLY, LATE)
        ]
        if not all(parts):
            return (0.0, 0.0)
        early, late = (statistics.median(part) / KIB / KIB for part in parts)
        return (early, late)

    def growth(self) -> float:
        """What it grows in a run as long as this one, in MiB: by the slope between the two medians."""
        early, late = self.memory()
        return (late - early) / BETWEEN


@dataclass(frozen=True)
class Verdict:
    """One promise: what was seen, and whether it holds."""

    name: str
    seen: str
    holds: bool


def look(pid: int, at: float) -> Sample:
    """The process as it is now. OSError when it has gone."""
    status = Path(f"/proc/{pid}/status").read_text()
    rss = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)
    links = [_target(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
    udp, tcp = (sum(link in sockets for link in links) for sockets in (_sockets("udp"), _sockets("tcp")))
    return Sample(at, rss * KIB, udp, tcp, len(links) - udp - tcp)


def udp_ports(pid: int) -> set[int]:
    """Local ports of the process's UDP sockets."""
    sockets = _sockets("udp")
    links = (_target(path) for path in Path(f"/proc/{pid}/fd").iterdir())
    return {sockets[link] for link in links if link in sockets}


def flat(account: Account, share: float, constant: float) -> Verdict:
    """In a run as long as this one memory grows by no more than `share` of itself and `constant` MiB."""
    early, late = account.memory()
    allowed = early * share + constant
    seen = f"{early:.1f} → {late:.1f} MiB: {account.growth():+.1f} in a run, of {allowed:.1f}"
    return Verdict(f"memory of {account.name}", seen, early > 0 and account.growth() <= allowed)


def agree(name: str, got: float, said: float, least: float, most: float) -> Verdict:
    """`got`, counted by one side, as a fraction of what the other side `said`."""
    ratio = got / said if said else 0.0
    return Verdict(name, f"{got:,.0f} of {said:,.0f}, x {ratio:.4f}", least <= ratio <= most)


def equal(name: str, seen: object, expected: object) -> Verdict:
    """Nothing left, or the same on both sides."""
    return Verdict(name, f"{seen}" if seen == expected else f"{seen}, not {expected}", seen == expected)


def table(verdicts: Sequence[Verdict]) -> str:
    """For people."""
    width = max((len(verdict.name) for verdict in verdicts), default=0)
    lines = [f"{verdict.name:<{width}}  {'ok  ' if verdict.holds else 'FAIL'}  {verdict.seen}" for verdict in verdicts]
    return "\n".join(lines)


def all_hold(verdicts: Iterable[Verdict]) -> bool:
    """Whether the soak has passed."""
    return all(verdict.holds for verdict in verdicts)


def _sockets(protocol: str) -> dict[str, int]:
    """Of this network's sockets: what /proc/PID/fd calls them, and their local ports."""
    tables = (Path(f"/proc/net/{table}").read_text().splitlines()[1:] for table in (protocol, f"{protocol}6"))
    rows = (line.split() for table in tables for line in table)
    return {f"socket:[{row[9]}]": int(row[1].rsplit(":", 1)[1], 16) for row in rows}


def _target(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:  # closed since it was listed
        return ""
