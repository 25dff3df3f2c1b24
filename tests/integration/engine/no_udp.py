"""Run where no UDP passes (test_no_udp.py): an engine, and Chromium that publishes and plays. Prints what was seen."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from engine.peers import Node, eventually
from engine.test_chromium import browser, pages
from rivulet_media._engine import Engine

PLAYS_WITHIN = 60.0
THREADS = int(os.environ.get("RIVULET_TEST_THREADS", "2"))


async def main(address: str, profile: Path) -> None:
    node = Node(Engine(address, 0, threads=THREADS))
    node.engine.set_candidates([(address, node.engine.port)])
    try:
        async with pages(node, ["vp8", "opus"]) as (url, reports), browser(url, profile):
            began = time.monotonic()

            def plays() -> bool:
                video, audio = (reports[-1].get(kind) if reports else None for kind in ("video", "audio"))
                return isinstance(video, dict) and isinstance(audio, dict) and (video["frames"] or 0) > 0

            await eventually(plays, "a picture", PLAYS_WITHIN)
            seconds = time.monotonic() - began
            await asyncio.sleep(3)
            stats = node.engine.stats()
        transports = [session["transport"] for session in stats["sessions"]]
        facts = {"seconds": seconds, "transports": transports, "report": reports[-1]}
        print(json.dumps(facts))
    finally:
        node.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
