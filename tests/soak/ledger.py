"""What a soak notes of its processes while it runs, and what it makes of that: pure, but for reading /proc."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

KIB = 1024
# Parts of the run whose medians are compared: after the warm-up, and at the end.
EARLY, LATE = (0.2, 0.45), (0.75, 1.0)


@dataclass(frozen=True)
class Sample:
    """One look at a process: seconds since the soak began, resident memory, open files, UDP sockets among them."""

    at: float
    rss: int
    files: int
    udp: int


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
        """Late memory as a multiple of early memory."""
        early, late = self.memory()
        return late / early if early else 1.0


@dataclass(frozen=True)
class Verdict:
    """One promise: what was seen, and whether it holds."""

    name: str
    seen: str
    holds: bool


def look(pid: int, at: float) -> Sample:
    """The process as it is now. OSError when it has gone."""
    status = Path(f"/proc/{pid}/status").read_text()
    rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    links = [_target(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
    tables = (Path(f"/proc/net/{table}").read_text().splitlines()[1:] for table in ("udp", "udp6"))
    udp = {f"socket:[{line.split()[9]}]" for table in tables for line in table}
    return Sample(at, rss * KIB, len(links), sum(link in udp for link in links))


def flat(account: Account, limit: float) -> Verdict:
    """Memory late is not above `limit` times memory early."""
    early, late = account.memory()
    seen = f"{early:.1f} → {late:.1f} MiB, x {account.growth():.3f}"
    return Verdict(f"memory of {account.name}", seen, early > 0 and account.growth() <= limit)


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


def _target(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:  # closed since it was listed
        return ""
