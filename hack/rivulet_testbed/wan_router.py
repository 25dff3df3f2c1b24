"""The WAN router: takes packets from the tun, holds each as long as its direction says, and writes it back.

Run as ``python3 -m rivulet_testbed.wan_router TUN FOLDER``; the folder holds config.json and the control socket, on
which one line (``reload`` or ``stats``) gets one line of JSON.
"""

import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time
from dataclasses import asdict
from pathlib import Path

from rivulet_testbed import wan_config
from rivulet_testbed.wan_config import Direction, WanConfig
from rivulet_testbed.wan_model import Link

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
MAX_PACKET = 65535
READ_BURST = 64
IDLE_SECONDS = 1.0
CONTROL_SECONDS = 1.0
PRIORITY = -15
IPV4_HEADER = 20
SOURCE_THIRD_OCTET = 14
TARGET_THIRD_OCTET = 18


def open_tun(name: str) -> int:
    """Open (and so create) the tun device, without blocking."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return descriptor


class Switch:
    """Finds a packet's link by the places in its addresses and keeps what is under way, soonest first."""

    def __init__(self, config: WanConfig) -> None:
        """Make one link per direction."""
        self.links: dict[Direction, Link] = {}
        self.strays = 0
        self._by_octets: dict[tuple[int, int], Link] = {}
        self._under_way: list[tuple[float, int, bytes]] = []
        self._order = 0
        self.configure(config)

    def configure(self, config: WanConfig) -> None:
        """Take a new configuration; links that stay keep their counters."""
        links: dict[Direction, Link] = {}
        for pair in config.all_directions():
            conditions = config.conditions(pair)
            dice = random.Random(f"{config.seed} {pair[0]} {pair[1]}")  # noqa: S311 - a run can be repeated
            link = self.links.get(pair) or Link(conditions, dice)
            if link.conditions != conditions:
                link.change(conditions)
            links[pair] = link
        self.links = links
        self._by_octets = {(config.places[a], config.places[b]): link for (a, b), link in links.items()}

    def take(self, now: float, packet: bytes) -> None:
        """Take a packet that entered the WAN now."""
        link = None
        if len(packet) >= IPV4_HEADER and packet[0] >> 4 == 4:  # noqa: PLR2004 - IP version 4
            link = self._by_octets.get((packet[SOURCE_THIRD_OCTET], packet[TARGET_THIRD_OCTET]))
        if link is None:
            self.strays += 1
            return
        due = link.admit(now, len(packet))
        if due is not None:
            self._order += 1
            heapq.heappush(self._under_way, (due, self._order, packet))

    def due(self, now: float) -> list[bytes]:
        """Return the packets whose time has come, in their order."""
        ready = []
        while self._under_way and self._under_way[0][0] <= now:
            ready.append(heapq.heappop(self._under_way)[2])
        return ready

    def next_due(self) -> float | None:
        """Return when the next packet comes out."""
        return self._under_way[0][0] if self._under_way else None

    def stats(self) -> dict[str, object]:
        """Return the counters of every direction."""
        counters = {f"{a}>{b}": asdict(link.counters) for (a, b), link in self.links.items()}
        return {"directions": counters, "strays": self.strays, "under_way": len(self._under_way)}


def write_out(tun: int, packets: list[bytes]) -> None:
    """Write packets back into the kernel; one that it refuses is lost as on any network."""
    for packet in packets:
        try:
            os.write(tun, packet)
        except OSError as refused:
            sys.stderr.write(f"packet of {len(packet)} bytes refused: {refused}\n")


def read_burst(tun: int, switch: Switch) -> None:
    """Read what has arrived, at most a burst of it."""
    for _ in range(READ_BURST):
        try:
            packet = os.read(tun, MAX_PACKET)
        except BlockingIOError:
            return
        switch.take(time.monotonic(), packet)


def serve_control(server: socket.socket, switch: Switch, config: Path) -> None:
    """Answer one control connection; a client that does not speak in time is dropped."""
    connection, _ = server.accept()
    with connection:
        connection.settimeout(CONTROL_SECONDS)
        try:
            request = connection.recv(64).decode(errors="replace").strip()
            if request == "reload":
                switch.configure(wan_config.load(config))
            connection.sendall(json.dumps(switch.stats()).encode() + b"\n")
        except OSError as gone:
            sys.stderr.write(f"control client: {gone}\n")


def listen(path: Path) -> socket.socket:
    """Listen on the control socket, in the place of whoever died there."""
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen(16)
    return server


def go_first() -> None:
    """Run before others where we may: a busy machine must not look like a bad network."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    except PermissionError as denied:
        sys.stderr.write(f"delays will suffer when the machine is busy: {denied}\n")


def main(tun_name: str, folder: Path) -> None:
    """Run until killed."""
    go_first()
    config = folder / "config.json"
    switch = Switch(wan_config.load(config))
    tun = open_tun(tun_name)
    server = listen(folder / "control.sock")
    while True:
        write_out(tun, switch.due(time.monotonic()))
        due = switch.next_due()
        wait = IDLE_SECONDS if due is None else max(0.0, due - time.monotonic())
        readable, _, _ = select.select([tun, server.fileno()], [], [], wait)
        if tun in readable:
            read_burst(tun, switch)
        if server.fileno() in readable:
            serve_control(server, switch, config)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
