"""What happens to a CDN in a soak: processes stop, die and come back, and nodes cannot reach each other."""

import asyncio
import time

import network
from ledger import udp_ports
from rivulet_scene.bare import Process
from run import EDGES, MORTAL, NODES, Run

# Longer than a frozen process is thought to be alive, and shorter.
FREEZES = (0.5, 2.0, 4.0, 9.0)
# The last one outlasts every link: its peers' consent is over.
CUTS = (2.0, 6.0, 40.0)
# Of a node that is going to be killed.
COUNTERS = ("rivulet_packets_sent_total",)


class Trouble:
    """One after the other, and none in a calm minute."""

    def __init__(self, run: Run) -> None:
        """All is well."""
        self._run = run

    async def next(self) -> None:
        """Any of it."""
        await self._run.rest(5, 12)
        kinds = [self._freeze] * 4 + [self._restart_director, self._kill_node, self._cut]
        async with self._run.calm:
            if not self._run.over:
                await self._run.random.choice(kinds)()

    async def _freeze(self) -> None:
        """Short of being taken for dead, or longer."""
        process = self._run.cdn.processes[self._run.random.choice((*NODES, "director-eu-0", "director-us-0"))]
        process.freeze()
        try:
            await asyncio.sleep(self._run.random.choice(FREEZES))
        finally:
            process.thaw()
        self._run.counts["frozen"] += 1
        await self._run.rest(3, 6)

    async def _restart_director(self) -> None:
        self._run.cdn.processes["director-eu-1"].kill()
        await asyncio.to_thread(self._run.cdn.director, "eu", 1)
        self._run.counts["directors killed"] += 1

    async def _kill_node(self) -> None:
        """Back at once, or when its sessions and streams are given up."""
        slot = self._run.random.choice(MORTAL)
        await asyncio.to_thread(self._run.kill, slot, *COUNTERS)
        self._run.counts["nodes killed"] += 1
        await self._run.rest(0.5, 12)
        await asyncio.to_thread(self._run.join, slot)

    async def _cut(self) -> None:
        """No datagram passes between nodes; viewers and publishers are not touched."""
        seconds = self._run.random.choice(CUTS)
        self._run.counts[f"cuts of {seconds:g} s"] += 1
        until, cut = time.monotonic() + seconds, set[int]()
        try:
            while time.monotonic() < until and not self._run.over:
                # Those of links that were opened meanwhile too.
                new = {port for edge in EDGES for port in own_ports(self._run.cdn.processes[edge])} - cut
                await asyncio.to_thread(network.cut, new)
                cut |= new
                await asyncio.sleep(0.5)
        finally:
            network.mend(lossy=True)
        await self._run.rest(3, 6)


def own_ports(node: Process) -> set[int]:
    """UDP ports of a node's links and relays: all but the one that others come to."""
    words = [str(word) for word in node.popen.args] if isinstance(node.popen.args, list) else []
    return udp_ports(node.popen.pid) - {int(words[words.index("--media-port") + 1])}
