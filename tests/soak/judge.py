"""What is left of a soak when all have gone, and whether both sides of each wire count the same."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import aiohttp

import network
from crowd import Crowd
from ledger import Account, Sample, Verdict, agree, equal, flat, look
from light_viewers import LightViewers
from rivulet_scene.bare import metric
from rivulet_scene.clients import camera
from rivulet_scene.http import get
from rivulet_scene.waiting import holds, until
from run import DIRECTORS, EDGES, EU_EDGES, NODES, ORIGINS, STANDING, Run

# What none is left of when all have gone.
LEAVING = ("rivulet_sessions", "rivulet_relays", "rivulet_links", "rivulet_event_streams", "rivulet_tcp_connections")
# A leak of a tenth in the half hour is more than this for every process of 20 MiB and more.
MOST_GROWTH, MOST_MORE = 0.05, 1.0
SETTLE_SECONDS = 60
# Longer than a kept-alive HTTP connection between the parts waits for its next use.
IDLE_SECONDS = 100
# Longer than a client of theirs keeps one.
QUIET_SECONDS = 20
MOST_LOOKS = 15
IDLE_TICKS = 10.0
# Datagrams of ICE and DTLS, and reports in flight at the end, make the two sides' counts differ a little.
LEAST_RECEIVED, MOST_RECEIVED = 0.97, 1.05
MEASURED_SECONDS = 20


class Judge:
    """Looks at the processes during a soak and after it."""

    def __init__(self, run: Run) -> None:
        """Nobody has come yet: what is open now is what is to be open at the end."""
        self._run = run
        self._accounts = {name: Account(name) for name in (*STANDING, "director-eu-0", "director-us-0")}
        self._before = self._look()
        # Parts connect to each other when they have heard of each other, and keep what they have asked by for a while.
        for _ in range(MOST_LOOKS):
            if _stays(lambda: self._open() == _open(self._before)):
                break
            self._before = self._look()
        else:
            raise AssertionError(f"sockets and files come and go before anybody has come: {_open(self._before)}")
        self.verdicts: list[Verdict] = []

    def sample(self) -> None:
        """One look at each process that stands to the end."""
        for name, account in self._accounts.items():
            pid = self._run.cdn.processes[name].popen.pid
            account.samples.append(look(pid, time.monotonic() - self._run.began))

    def agreement(self) -> None:
        """In a calm minute: one truth in all tables, and parents count as many relays as their children."""
        for what, agree_now in (("tables", self._tables_agree), ("relays", self._relays_agree)):
            self._run.counts[f"{what} {'agreed' if _settled(agree_now) else 'at odds'}"] += 1

    def _tables_agree(self) -> bool:
        digests = {self._run.cdn.table(slot)["digest"] for slot in NODES}
        digests |= {self._run.cdn.director_table(region, number)["digest"] for region, number in DIRECTORS}
        return len(digests) == 1

    def _relays_agree(self) -> bool:
        out = self._run.told("rivulet_relays", ORIGINS, direction="out")
        return out == self._run.told("rivulet_relays", EDGES, direction="in")

    # The end

    def judge(self, crowd: Crowd) -> None:
        """Everybody has gone."""
        _settled(self._empty)
        for name in (*LEAVING, "rivulet_pending_handshakes"):
            self.verdicts.append(equal(f"{name} left", self._run.told(name, NODES), 0.0))
        passing = sum(
            metric(self._run.cdn.regions[region].internal(number), "rivulet_director_links", peer="viewer")
            for region, number in DIRECTORS
        )
        self.verdicts.append(equal("event streams left in directors", passing, 0.0))
        at_odds = {what: self._run.counts[f"{what} at odds"] for what in ("tables", "relays")}
        self.verdicts.append(equal("times that parts were at odds for a minute", at_odds, {"tables": 0, "relays": 0}))
        self._judge_files()
        self._judge_timers()
        self.verdicts += [flat(account, MOST_GROWTH, MOST_MORE) for account in self._accounts.values()]
        sent, lost = self._run.counted("rivulet_packets_sent_total", EU_EDGES), network.loss()
        name = f"packets: eu viewers got / eu edges sent, loss {lost:.1%}"
        self.verdicts.append(agree(name, crowd.received["eu"], sent, LEAST_RECEIVED - 2 * lost, MOST_RECEIVED))
        self.verdicts.append(equal("tables agree", _settled(self._tables_agree), expected=True))
        went = {name: each.popen.poll() for name, each in self._run.cdn.processes.items() if not each.running}
        self.verdicts.append(equal("processes that ended", went, {}))

    def _judge_files(self) -> None:
        """Sockets and files are those of the beginning, each kind by itself."""
        _settled(lambda: self._open() == _open(self._before), IDLE_SECONDS)
        now = self._open()
        for name, then in _open(self._before).items():
            self.verdicts.append(equal(f"open of {name}", now[name], then))

    def _open(self) -> dict[str, str]:
        return _open(self._look())

    def _look(self) -> dict[str, Sample]:
        return {name: look(process.popen.pid, 0.0) for name, process in self._run.cdn.processes.items()}

    def _judge_timers(self) -> None:
        """A thread without sessions turns four times a second, and when asked; a timer that was left adds to it."""
        began = [self._ticks(slot) for slot in NODES]
        time.sleep(5)
        for slot, then in zip(NODES, began, strict=True):
            rate = (self._ticks(slot) - then) / 5
            self.verdicts.append(Verdict(f"turns of {slot}'s idle engine", f"{rate:.1f} a second", rate <= IDLE_TICKS))

    def _ticks(self, slot: str) -> float:
        return metric(self._run.cdn.processes[slot].http, "rivulet_engine_ticks_total")

    def _empty(self) -> bool:
        return all(self._run.told(name, NODES) == 0 for name in LEAVING)

    # One publication, from hop to hop

    async def measure(self) -> None:
        """Without loss and trouble: what publisher, origin, edges and viewers say of the same media."""
        await asyncio.to_thread(_settled, self._empty)
        network.mend(lossy=False)
        try:
            await self._measure()
        except (AssertionError, OSError, aiohttp.ClientError) as error:
            self.verdicts.append(Verdict("calm: a publication and its viewers", repr(error), holds=False))

    async def _measure(self) -> None:
        cdn = self._run.cdn
        door = cdn.regions["eu"].public()
        before = self._hops()
        token = await asyncio.to_thread(cdn.token, "calm_eu", subject="measured")
        words = ("--wait", "60", "--duration", str(MEASURED_SECONDS))
        publisher = await asyncio.to_thread(camera, f"{door}/whip/calm_eu", *words, token=token)
        async with LightViewers() as viewers:
            await asyncio.to_thread(publisher.line)
            await asyncio.to_thread(_settled, self._is_live)
            await asyncio.to_thread(_settled, self._tables_agree)
            for edge in EU_EDGES:
                await viewers.join(door, f"{door}/n/{edge}/whep/calm_eu", 3)
            await asyncio.sleep(MEASURED_SECONDS - 5)
            got, sent = sum(viewers.received()), self._run.told("rivulet_packets_sent_total", EU_EDGES)
            # A report goes to each viewer every second, which its packets do not count.
            sent -= before["edges sent"]
            self.verdicts.append(agree("calm: viewers got / edges sent", got, sent, 0.98, 1.001))
            said = await asyncio.to_thread(publisher.result)
            await asyncio.sleep(1)
            passed = {hop: count - before[hop] for hop, count in self._hops().items()}
        await asyncio.to_thread(publisher.__exit__)
        # On top come reports and checks of children and viewers, and headers and tags of the publisher's packets.
        published = said["video"]["bytes"] + said["audio"]["bytes"]
        name = "calm: bytes at the origin / published"
        self.verdicts.append(agree(name, passed["origins got bytes"], published, 1.0, 1.25))
        name = "calm: packets at the edges / from the origin"
        self.verdicts.append(agree(name, passed["edges got"], passed["origins sent"], 0.995, 1.3))

    def _is_live(self) -> bool:
        answer = get(f"{self._run.cdn.regions['eu'].public()}/v1/streams/calm_eu")
        return answer.status == 200 and answer.json["state"] == "live"

    def _hops(self) -> Mapping[str, float]:
        told = self._run.told
        return {
            "origins got bytes": told("rivulet_bytes_received_total", ORIGINS),
            "origins sent": told("rivulet_packets_sent_total", ORIGINS),
            "edges got": told("rivulet_packets_received_total", EU_EDGES),
            "edges sent": told("rivulet_packets_sent_total", EU_EDGES),
        }


def _open(samples: Mapping[str, Sample]) -> dict[str, str]:
    return {name: f"{one.udp} UDP, {one.tcp} TCP, {one.files} others" for name, one in samples.items()}


def _stays(what: Callable[[], bool]) -> bool:
    with suppress(AssertionError):
        holds(what, "the same", seconds=QUIET_SECONDS, pause=1)
        return True
    return False


def _settled(what: Callable[[], bool], seconds: float = SETTLE_SECONDS) -> bool:
    with suppress(AssertionError):
        return bool(until(what, "settled", seconds=seconds, pause=1))
    return False
