"""Run by test_tight_uplink in a network of its own: a link that is narrow for a while, the smallest buffer there is."""

import asyncio
import json
import os

from engine.peers import AUDIO, VIDEO, Node, Picture, Publisher, Tone, Viewer, closing, eventually
from rivulet_media._engine import Engine

HERE = "10.99.0.1"
THREADS = int(os.environ.get("RIVULET_TEST_THREADS", "2"))
VIEWERS = 3
ENOUGH, TOO_LITTLE = 1500, 600  # kbit/s


async def main() -> None:
    await set_rate(ENOUGH)
    node = Node(Engine(HERE, 0, send_buffer=1, gather_ms=20.0, threads=THREADS))
    publisher = Publisher(Picture(), Tone())
    viewers = [Viewer("video", "audio") for _ in range(VIEWERS)]
    async with closing(publisher, *viewers):
        await publisher.publish(node.engine, "s", "i1")
        for viewer in viewers:
            await viewer.play(node.engine, "s", [VIDEO, AUDIO])
        for viewer in viewers:
            await viewer.frames_after(video=15, audio=15, within=20)
        await set_rate(TOO_LITTLE)
        await eventually(lambda: node.engine.stats()["would_block"] > 0, "a full socket", within=10)
        await set_rate(ENOUGH)
        before, shown = node.engine.stats(), [viewer.frames["video"] for viewer in viewers]
        for viewer in viewers:
            await viewer.frames_after(video=60, audio=60, within=20)
        after = node.engine.stats()
    node.stop()
    facts = {name: after[name] - before[name] for name in ("packets_sent", "ticks")}
    frames = [viewer.frames["video"] - earlier for viewer, earlier in zip(viewers, shown, strict=True)]
    print(json.dumps({**facts, "would_block": before["would_block"], "frames": frames}))


async def set_rate(kbit: int) -> None:
    command = f"tc qdisc replace dev lo root tbf rate {kbit}kbit burst 4kb latency 400ms"
    process = await asyncio.create_subprocess_exec(*command.split())
    if await process.wait():
        raise RuntimeError(f"exit code {process.returncode} of {command}")


if __name__ == "__main__":
    asyncio.run(main())
