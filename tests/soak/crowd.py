"""Publishers and viewers of a soak: they come and go, crash and vanish."""

import asyncio
from collections import Counter
from contextlib import suppress
from functools import partial

import aiohttp

from event_reader import EventReader
from light_viewers import LightViewers, start_apart
from rivulet_scene.clients import Client, camera
from rivulet_scene.http import request
from run import STREAMS, Run

DOORS = (("eu", 0), ("eu", 1), ("us", 0))


class Crowd:
    """Everybody who uses the CDN."""

    def __init__(self, run: Run) -> None:
        """Nobody has come yet."""
        self._run = run
        self.received: Counter[str] = Counter()

    def scenes(self, tasks: asyncio.TaskGroup) -> None:
        """All that goes on at the same time."""
        for scene in (self._publish_calmly, self._publish_restlessly, self._publish_and_crash, self._vanish):
            tasks.create_task(self._run.repeat(scene))
        for region, number in DOORS:
            for tcp in (False, True):
                tasks.create_task(self._visits(region, number, tcp=tcp))

    # Publishers

    async def _publish_calmly(self) -> None:
        publisher = await self._publish("calm_eu", "calm")
        while not self._run.over and publisher.process.poll() is None:
            await self._run.rest(1, 1)
        await asyncio.to_thread(publisher.__exit__)

    async def _publish_restlessly(self) -> None:
        publisher = await self._publish("restless_eu", "restless")
        await self._run.rest(10, 30)
        await asyncio.to_thread(publisher.__exit__)
        await self._run.rest(1, 5)

    async def _publish_and_crash(self) -> None:
        """Back within the hold or after it: viewers are kept, or end."""
        publisher = await self._publish("crashing_eu", "crashing")
        await self._run.rest(10, 30)
        await asyncio.to_thread(publisher.kill)
        await asyncio.to_thread(publisher.__exit__)
        await self._run.rest(1, 10)

    async def _publish(self, stream: str, subject: str) -> Client:
        door = self._run.cdn.regions["eu"].public()
        token = await asyncio.to_thread(self._run.cdn.token, stream, subject=subject)
        self._run.counts["publishers"] += 1
        return camera(f"{door}/whip/{stream}", "--wait", "60", token=token)

    # Viewers

    async def _visits(self, region: str, number: int, *, tcp: bool) -> None:
        """Viewers of one front door, in one engine: what it has received is counted over all of them."""
        door = self._run.cdn.regions[region].public(number)
        async with LightViewers(tcp=tcp) as viewers:
            while not self._run.over:
                await self._visit(viewers, door)
            await asyncio.sleep(0.5)
            self.received[region] += viewers.engine.stats()["packets_received"]

    async def _visit(self, viewers: LightViewers, door: str) -> None:
        stream = self._run.random.choice(list(STREAMS))
        most = 1 if viewers.tcp else 4
        try:
            await viewers.join(door, f"{door}/whep/{stream}", self._run.random.randint(1, most))
        except (AssertionError, aiohttp.ClientError, TimeoutError, OSError):
            self._run.counts["refused"] += 1
            await self._run.rest(0.5, 1.5)
        self._run.counts["viewers by TCP" if viewers.tcp else "viewers"] += len(viewers.sessions)
        readers = [await _listen(url) for url in list(viewers.sessions.values())[:2]]
        await self._run.rest(2, 15)
        for reader in readers:
            if reader is not None:
                self._run.counts.update(reader.names)
                await asyncio.to_thread(reader.__exit__)
        for url in viewers.sessions.values():
            await asyncio.to_thread(leave, url)
        viewers.sessions.clear()

    async def _vanish(self) -> None:
        """Viewers that are killed: their edge notices by itself. At the us edge only, whose counts are not compared."""
        door = self._run.cdn.regions["us"].public()
        try:
            url = f"{door}/n/edge-us-0/whep/calm_eu"
            apart = await asyncio.to_thread(partial(start_apart, door, url, 2, quiet=True))
        except AssertionError:
            await self._run.rest(2, 4)
            return
        await self._run.rest(2, 10)
        apart.kill()
        await asyncio.to_thread(apart.wait, 5)
        self._run.counts["vanished"] += 2
        await self._run.rest(5, 20)


async def _listen(url: str) -> EventReader | None:
    with suppress(AssertionError, OSError):
        return await asyncio.to_thread(EventReader, f"{url}/events")
    return None


def leave(url: str) -> None:
    """DELETE; a session that has ended says so, and who has been killed says nothing."""
    with suppress(OSError):
        request("DELETE", url, seconds=15)
