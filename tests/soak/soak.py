"""`make soak`: two regions under restless viewers and publishers, with processes stopped, continued and killed.

At the end everything leaves, and nothing may be left of it: no session, relay, socket, event stream or busy timer;
memory is flat, and what viewers got is what edges say they sent. Prints a table; exit status 1: a promise is broken.
"""

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / part) for part in ("hack", "tests/integration", "tests/soak")]

from event_reader import EventReader  # noqa: E402 - the paths are set above
from ledger import Account, Verdict, agree, all_hold, equal, flat, look, table  # noqa: E402
from light_viewers import LightViewers, start_apart  # noqa: E402
from rivulet_scene.bare import BareCdn, metric  # noqa: E402
from rivulet_scene.clients import Client, camera  # noqa: E402
from rivulet_scene.http import request  # noqa: E402
from rivulet_scene.waiting import until  # noqa: E402

STREAMS: dict[str, dict[str, Any]] = {
    name: {"region": "eu", "holdSeconds": 5, "distribution": {"idleSeconds": 2}}
    for name in ("calm_eu", "restless_eu", "crashing_eu")
}
DIRECTORS = (("eu", 0), ("eu", 1), ("us", 0))
NODES = ("origin-eu-0", "edge-eu-0", "edge-eu-1", "edge-us-0")
EDGES = NODES[1:]
# What none is left of when all have gone.
LEAVING = ("rivulet_sessions", "rivulet_relays", "rivulet_links", "rivulet_event_streams")
MOST_GROWTH = 1.15
LOOK_SECONDS = 5.0
SETTLE_SECONDS = 60
# Datagrams of ICE and DTLS, and reports in flight at the end, make the two sides' counts differ a little.
LEAST_RECEIVED, MOST_RECEIVED = 0.97, 1.05
# Kept-alive HTTP connections to the parts of the CDN.
KEPT_FILES = 12
# Of each node; without sessions each turns four times a second.
THREADS = 2
IDLE_TICKS = 10.0
# How long nodes keep a link that carries nothing: less than the judge waits, and long enough to find one open.
LINK_SECONDS = 5
# Set to the loss, in percent, in a network that has one.
INSIDE = "RIVULET_SOAK_LOSS"


class Soak:
    """One run. Everything random comes from `seed`, but not when it happens."""

    def __init__(self, cdn: BareCdn, seconds: float, seed: int) -> None:
        self._cdn = cdn
        self._random = random.Random(seed)  # noqa: S311 - a soak keeps no secrets
        self._began = time.monotonic()
        self._until = self._began + seconds
        self._accounts = {name: Account(name) for name in (*NODES, "director-eu-0", "director-us-0")}
        self._calm = asyncio.Lock()
        self.counts: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.verdicts: list[Verdict] = []

    async def run(self) -> None:
        """All at once until the time is over; then look at what is left."""
        before = {name: look(process.popen.pid, 0.0) for name, process in self._cdn.processes.items()}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat(self._publish_calmly))
            tasks.create_task(self._repeat(self._publish_restlessly))
            tasks.create_task(self._repeat(self._publish_and_crash))
            for region, number in (("eu", 0), ("eu", 1), ("us", 0)):
                tasks.create_task(self._crowd(region, number))
            tasks.create_task(self._repeat(self._vanish))
            tasks.create_task(self._repeat(self._trouble))
            tasks.create_task(self._repeat(self._agreement))
            tasks.create_task(self._sample())
        await asyncio.to_thread(self._judge_end, before)

    # Time

    @property
    def _over(self) -> bool:
        return time.monotonic() >= self._until

    async def _repeat(self, scene: Callable[[], Awaitable[None]]) -> None:
        while not self._over:
            await scene()

    async def _rest(self, least: float, most: float) -> None:
        left = self._until - time.monotonic()
        await asyncio.sleep(max(0.0, min(self._random.uniform(least, most), left)))

    async def _sample(self) -> None:
        while not self._over:
            for name, account in self._accounts.items():
                account.samples.append(look(self._cdn.processes[name].popen.pid, time.monotonic() - self._began))
            await self._rest(LOOK_SECONDS, LOOK_SECONDS)

    # Publishers

    async def _publish_calmly(self) -> None:
        publisher = await self._publish("calm_eu", "calm")
        while not self._over and publisher.process.poll() is None:
            await self._rest(1, 1)
        await asyncio.to_thread(publisher.__exit__)

    async def _publish_restlessly(self) -> None:
        publisher = await self._publish("restless_eu", "restless")
        await self._rest(10, 30)
        await asyncio.to_thread(publisher.__exit__)
        await self._rest(1, 5)

    async def _publish_and_crash(self) -> None:
        """Back within the hold or after it: viewers are kept, or end."""
        publisher = await self._publish("crashing_eu", "crashing")
        await self._rest(10, 30)
        await asyncio.to_thread(publisher.kill)
        await asyncio.to_thread(publisher.__exit__)
        await self._rest(1, 10)

    async def _publish(self, stream: str, subject: str) -> Client:
        door = self._cdn.regions["eu"].public()
        token = await asyncio.to_thread(self._cdn.token, stream, subject=subject)
        self.counts["publishers"] += 1
        return camera(f"{door}/whip/{stream}", "--wait", "60", token=token)

    # Viewers

    async def _crowd(self, region: str, number: int) -> None:
        """Viewers of one front door, in one engine: what it has received is counted over all of them."""
        door = self._cdn.regions[region].public(number)
        async with LightViewers() as viewers:
            while not self._over:
                await self._visit(viewers, door)
            await asyncio.sleep(0.5)
            self.received[region] += viewers.engine.stats()["packets_received"]

    async def _visit(self, viewers: LightViewers, door: str) -> None:
        stream = self._random.choice(list(STREAMS))
        try:
            await viewers.join(door, f"{door}/whep/{stream}", self._random.randint(1, 4))
        except (AssertionError, aiohttp.ClientError, TimeoutError, OSError):
            self.counts["refused"] += 1
            await self._rest(0.5, 1.5)
        self.counts["viewers"] += len(viewers.sessions)
        readers = [await self._listen(url) for url in list(viewers.sessions.values())[:2]]
        await self._rest(2, 15)
        for reader in readers:
            if reader is not None:
                self.counts.update(reader.names)
                await asyncio.to_thread(reader.__exit__)
        for url in viewers.sessions.values():
            await asyncio.to_thread(leave, url)
        viewers.sessions.clear()

    async def _listen(self, url: str) -> EventReader | None:
        with suppress(AssertionError, OSError):
            return await asyncio.to_thread(EventReader, f"{url}/events")
        return None

    async def _vanish(self) -> None:
        """Viewers that are killed: their edge notices by itself. At the us edge only, whose counts are not compared."""
        door = self._cdn.regions["us"].public()
        try:
            url = f"{door}/n/edge-us-0/whep/calm_eu"
            apart = await asyncio.to_thread(partial(start_apart, door, url, 2, quiet=True))
        except AssertionError:
            await self._rest(2, 4)
            return
        await self._rest(2, 10)
        apart.kill()
        await asyncio.to_thread(apart.wait, 5)
        self.counts["vanished"] += 2
        await self._rest(5, 20)

    # Trouble

    async def _trouble(self) -> None:
        await self._rest(5, 12)
        async with self._calm:
            if self._over:
                return
            if self._random.random() < 0.25:
                await self._restart_director()
            else:
                await self._freeze(self._random.choice((*NODES, "director-eu-0", "director-us-0")))

    async def _freeze(self, name: str) -> None:
        """Short of being taken for dead, or longer."""
        process = self._cdn.processes[name]
        process.freeze()
        try:
            await asyncio.sleep(self._random.choice((0.5, 2.0, 4.0, 9.0)))
        finally:
            process.thaw()
        self.counts["frozen"] += 1
        await self._rest(3, 6)

    async def _restart_director(self) -> None:
        self._cdn.processes["director-eu-1"].kill()
        await asyncio.to_thread(self._cdn.director, "eu", 1)
        self.counts["directors killed"] += 1

    async def _agreement(self) -> None:
        """In a calm minute: one truth in all tables, and parents count as many relays as their children."""
        await self._rest(45, 75)
        async with self._calm:
            if not self._over:
                for what, look_at in (("tables", self._tables_agree), ("relays", self._relays_agree)):
                    agreed = await asyncio.to_thread(self._settled, look_at)
                    self.counts[f"{what} {'agreed' if agreed else 'at odds'}"] += 1

    def _tables_agree(self) -> bool:
        digests = {self._cdn.table(slot)["digest"] for slot in NODES}
        digests |= {self._cdn.director_table(region, number)["digest"] for region, number in DIRECTORS}
        return len(digests) == 1

    def _relays_agree(self) -> bool:
        out = metric(self._cdn.processes["origin-eu-0"].http, "rivulet_relays", direction="out")
        return out == self._sum("rivulet_relays", EDGES, direction="in")

    # The end

    def _judge_end(self, before: dict[str, Any]) -> None:
        with suppress(AssertionError):
            until(self._empty, "all gone", seconds=SETTLE_SECONDS, pause=1)
        for name in (*LEAVING, "rivulet_pending_handshakes"):
            self.verdicts.append(equal(f"{name} left", self._sum(name, NODES), 0.0))
        passing = sum(
            metric(self._cdn.regions[region].internal(number), "rivulet_director_links", peer="viewer")
            for region, number in DIRECTORS
        )
        self.verdicts.append(equal("event streams left in directors", passing, 0.0))
        at_odds = {what: self.counts[f"{what} at odds"] for what in ("tables", "relays")}
        self.verdicts.append(equal("times that parts were at odds for a minute", at_odds, {"tables": 0, "relays": 0}))
        self._judge_files(before)
        self._judge_timers()
        self.verdicts += [flat(account, MOST_GROWTH) for account in self._accounts.values()]
        sent = self._sum("rivulet_packets_sent_total", ("edge-eu-0", "edge-eu-1"))
        lost = float(os.environ.get(INSIDE, "0")) / 100
        name = f"packets: eu viewers got / eu edges sent, loss {lost:.1%}"
        self.verdicts.append(agree(name, self.received["eu"], sent, LEAST_RECEIVED - 2 * lost, MOST_RECEIVED))
        self.verdicts.append(equal("tables agree", self._settled(self._tables_agree), expected=True))
        went = {name: process.popen.poll() for name, process in self._cdn.processes.items() if not process.running}
        self.verdicts.append(equal("processes that ended", went, {}))

    def _judge_files(self, before: dict[str, Any]) -> None:
        for name, process in self._cdn.processes.items():
            now, then = look(process.popen.pid, 0.0), before[name]
            self.verdicts.append(equal(f"UDP sockets of {name}", now.udp, then.udp))
            more = max(0, now.files - then.files - KEPT_FILES)
            self.verdicts.append(equal(f"files of {name} beyond {then.files} + {KEPT_FILES}", more, 0))

    def _judge_timers(self) -> None:
        """A thread without sessions turns four times a second, and when asked; a timer that was left adds to it."""
        began = [self._ticks(slot) for slot in NODES]
        time.sleep(5)
        for slot, then in zip(NODES, began, strict=True):
            rate = (self._ticks(slot) - then) / 5
            self.verdicts.append(Verdict(f"turns of {slot}'s idle engine", f"{rate:.1f} a second", rate <= IDLE_TICKS))

    def _ticks(self, slot: str) -> float:
        return metric(self._cdn.processes[slot].http, "rivulet_engine_ticks_total")

    def _empty(self) -> bool:
        return all(self._sum(name, NODES) == 0 for name in LEAVING)

    def _settled(self, what: Callable[[], bool]) -> bool:
        with suppress(AssertionError):
            return bool(until(what, "settled", seconds=SETTLE_SECONDS))
        return False

    def _sum(self, name: str, slots: tuple[str, ...], **labels: str) -> float:
        return sum(metric(self._cdn.processes[slot].http, name, **labels) for slot in slots)


def lose_datagrams(percent: float) -> None:
    """Begin again in a network of our own, whose loopback drops; it goes with the last process in it."""
    if os.geteuid() != 0 or shutil.which("iptables") is None:
        print("soak: without loss: that needs root and iptables", flush=True)
        return
    rule = f"iptables -A INPUT -p udp -m statistic --mode random --probability {percent / 100:.6f} -j DROP"
    words = ["unshare", "--net", "sh", "-c", f'ip link set lo up && {rule} && exec "$0" "$@"', sys.executable]
    os.execvpe(words[0], [*words, *sys.argv], {**os.environ, INSIDE: str(percent)})  # noqa: S606 - a fixed program


def leave(url: str) -> None:
    """DELETE; a session that has ended says so, and a director that has been killed says nothing."""
    with suppress(OSError):
        request("DELETE", url, seconds=15)


def start(cdn: BareCdn) -> None:
    """Directors, an origin, three edges, all joined."""
    for region, number in DIRECTORS:
        cdn.director(region, number, ready=False)
    for slot in NODES:
        role, region, _ = slot.split("-")
        cdn.node(slot, role, region, "--link-seconds", str(LINK_SECONDS), "--media-threads", str(THREADS))
    for region, number in DIRECTORS:
        cdn.settled(region, number)


def keep_logs(folder: Path) -> None:
    """Where a soak that has failed can be read."""
    target = REPOSITORY / "logs" / "soak"
    target.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        (target / log.name).write_bytes(log.read_bytes())


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--loss", type=float, default=0.5, metavar="PERCENT", help="of all UDP; as root only (0.5)")
    args = parser.parse_args()
    if args.loss and INSIDE not in os.environ:
        lose_datagrams(args.loss)
    with (
        tempfile.TemporaryDirectory(prefix="rivulet-soak-") as name,
        BareCdn(Path(name), {"eu": 2, "us": 1}, STREAMS) as cdn,
    ):
        try:
            start(cdn)
            soak = asyncio.run(soaked(cdn, args.minutes * 60, args.seed))
        finally:
            keep_logs(Path(name))
    print(f"soak: {args.minutes:g} min, seed {args.seed}; {dict(soak.counts)}")
    print(table(soak.verdicts))
    passed = all_hold(soak.verdicts)
    print("soak: PASS" if passed else "soak: FAIL (logs/soak)")
    return 0 if passed else 1


async def soaked(cdn: BareCdn, seconds: float, seed: int) -> Soak:
    """A soak that has run."""
    soak = Soak(cdn, seconds, seed)
    await soak.run()
    return soak


if __name__ == "__main__":
    sys.exit(main())
