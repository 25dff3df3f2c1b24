"""What processes hold open, to see that nothing leaks."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rivulet_scene.bare import BareCdn, Process

# HTTP connections that are kept open for the next request: a few per pair of processes.
KEPT_CONNECTIONS: Final = 8


@dataclass(frozen=True)
class Descriptors:
    """What a process holds open: UDP ports (its media port, and one for each link or relay), and all files together."""

    udp: int
    files: int


def descriptors(process: Process) -> Descriptors:
    links = []
    for path in Path(f"/proc/{process.popen.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            links.append(str(path.readlink()))
    lines = [line for table in ("udp", "udp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    ports = {f"socket:[{row[9]}]": row[1] for row in map(str.split, lines)}
    return Descriptors(len({ports[link] for link in links if link in ports}), len(links))


def grown(cdn: BareCdn, before: dict[int, Descriptors]) -> dict[str, Descriptors]:
    """Processes that hold a UDP port more than before, or many more files."""
    found = {}
    for process in cdn.processes.values():
        known, now = before.get(process.popen.pid), descriptors(process) if process.running else None
        if known and now and (now.udp > known.udp or now.files > known.files + KEPT_CONNECTIONS):
            found[process.name] = now
    return found
