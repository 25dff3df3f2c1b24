"""Run by test_tight_uplink in a network of its own: viewers behind 1.5 Mbit/s and the smallest buffer there is."""

import asyncio
import json
import os

from engine.peers import AUDIO, VIDEO, Node, Picture, Publisher, Tone, Viewer, closing
from rivulet_media._engine import Engine

HERE = "10.99.0.1"
THREADS = int(os.environ.get("RIVULET_TEST_THREADS", "2"))
VIEWERS = 3


async def main() -> None:
    node = Node(Engine(HERE, 0, send_buffer=1, gather_ms=20.0, threads=THREADS))
    publisher = Publisher(Picture(), Tone())
    viewers = [Viewer("video", "audio") for _ in range(VIEWERS)]
    async with closing(publisher, *viewers):
        await publisher.publish(node.engine, "s", "i1")
        for viewer in viewers:
            await viewer.play(node.engine, "s", [VIDEO, AUDIO])
        for viewer in viewers:
            await viewer.frames_after(video=60, audio=60, within=30)
        stats = node.engine.stats()
    node.stop()
    facts = {name: stats[name] for name in ("would_block", "packets_sent", "ticks")}
    print(json.dumps({**facts, "frames": [viewer.frames["video"] for viewer in viewers]}))


if __name__ == "__main__":
    asyncio.run(main())
