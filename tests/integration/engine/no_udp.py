"""Run where no UDP passes (test_no_udp.py): an engine, and Chromium that publishes and plays. Prints what was seen."""

import asyncio
import json
import os
import sys
from pathlib import Path

from engine.peers import Node, eventually
from engine.test_chromium import browser, pages, plays
from rivulet_media._engine import Engine

PLAYS_WITHIN, GOES_ON_WITHIN = 60.0, 30.0
THREADS = int(os.environ.get("RIVULET_TEST_THREADS", "2"))


async def main(address: str, profile: Path) -> None:
    node = Node(Engine(address, 0, threads=THREADS))
    node.engine.set_candidates([(address, node.engine.port)])
    try:
        async with pages(node, ["vp8", "opus"]) as (url, reports), browser(url, profile):
            await eventually(lambda: any(plays(report) for report in reports), "a picture", PLAYS_WITHIN)
            first = next(report for report in reports if plays(report))
            await eventually(lambda: plays(reports[-1], 30, 50), "picture and sound go on", GOES_ON_WITHIN)
            stats = node.engine.stats()
        transports = [session["transport"] for session in stats["sessions"]]
        facts = {"seconds": first["seconds"], "transports": transports, "report": reports[-1]}
        print(json.dumps(facts))
    finally:
        node.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
