"""The demo's second half, on clusters that are up: install, publish, watch, and a table of what was seen."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rivulet_scene.clients import probe
from rivulet_scene.command import MEDIA, TESTBED
from rivulet_scene.http import get
from rivulet_scene.install import Keys, install, join_regions
from rivulet_scene.region import Region, regions
from rivulet_scene.waiting import until

FPS = 15
WATCH_SECONDS = 15
STREAM = "test_eu"


@dataclass(frozen=True)
class Check:
    """One row of the table."""

    what: str
    seen: str
    passed: bool


def main(state: Path) -> int:
    """Exit status 0 when every check passed."""
    started = time.monotonic()
    both = regions("eu", "us")
    keys = Keys(state / "publish.key")
    for region in both.values():
        say(started, f"installing the chart and the samples in {region.name}")
        install(region, both, keys)
    join_regions(both)
    say(started, "waiting for six nodes")
    checks = [attempt("six nodes joined, two regions", lambda: six_nodes(both))]
    say(started, f"publishing {STREAM} to eu")
    start_camera(both["eu"], keys, state)
    checks.append(attempt(f"Stream {STREAM} is live", lambda: live(both)))
    say(started, f"watching it in eu and us for {WATCH_SECONDS} s")
    checks += watch(both)
    checks.append(attempt("balancer answers in both regions", lambda: balancers(both)))
    show(checks, both, keys)
    return 0 if all(check.passed for check in checks) else 1


def say(started: float, what: str) -> None:
    """Progress, with the time since the start of this half."""
    print(f"demo: [{time.monotonic() - started:5.1f} s] {what}", flush=True)


def attempt(what: str, look: Callable[[], str]) -> Check:
    """A check that passes when `look` returns what it saw and fails when it raises AssertionError."""
    try:
        return Check(what, look(), passed=True)
    except AssertionError as failure:
        return Check(what, str(failure).splitlines()[0], passed=False)


def six_nodes(both: Mapping[str, Region]) -> str:
    """Every CDNNode is Ready and the nodes stand in the CDN's tables."""

    def ready() -> str | None:
        joined = {name: count_joined(region) for name, region in both.items()}
        return ", ".join(f"{name}: {count}" for name, count in joined.items()) if sum(joined.values()) == 6 else None

    return until(ready, "six joined nodes", seconds=180, pause=1)


def count_joined(region: Region) -> int:
    """Nodes that have joined, as the CDNNodes' statuses say."""
    found = region.get("cdnnodes.rivulet.dev")
    return sum(node.get("status", {}).get("joinedReplicas", 0) for node in found if node["spec"]["role"] != "turn")


def start_camera(region: Region, keys: Keys, state: Path) -> None:
    """A camera that outlives this program; `hack/demo down` ends it."""
    publish = [str(MEDIA), "publish", f"{region.door}/whip/{STREAM}", "--timer", "--token", keys.token(STREAM)]
    with (state / "camera.log").open("ab") as log:
        camera = subprocess.Popen(
            [str(TESTBED), "exec", region.name, "--", *publish],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    start_time = Path(f"/proc/{camera.pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    (state / "camera.pid").write_text(f"{camera.pid} {start_time}\n")


def live(both: Mapping[str, Region]) -> str:
    """The Stream's condition Live, and both front doors know it."""
    until(lambda: (both["eu"].condition("stream", "test-eu", "Live") or {}).get("status") == "True", "live", seconds=20)
    for region in both.values():
        until(partial(known_live, region), f"{region.name} knows it", seconds=10)
    status = both["eu"].get("stream", "test-eu")["status"]
    return f"origin {status['origin'].split('/')[0]}, {', '.join(track['codec'] for track in status['tracks'])}"


def known_live(region: Region) -> bool:
    """Whether a front door shows the stream live."""
    answer = get(f"{region.door}/v1/streams/{STREAM}")
    return answer.status == 200 and answer.json["state"] == "live"


def watch(both: Mapping[str, Region]) -> list[Check]:
    """A viewer in each region, at the same time."""
    viewers = {
        name: probe(f"{region.door}/whep/{STREAM}", seconds=WATCH_SECONDS, place=region.place)
        for name, region in both.items()
    }
    checks = []
    for name, viewer in viewers.items():
        try:
            seen = viewer.result(seconds=WATCH_SECONDS + 45)
            checks += judged(name, seen)
        except (AssertionError, KeyError, TypeError) as failure:
            checks.append(Check(f"viewer in {name} plays", str(failure).splitlines()[0], passed=False))
    return checks


def judged(name: str, seen: dict[str, Any]) -> list[Check]:
    """What a viewer must have seen."""
    fps, latency, sync = seen["video"]["fps"], seen["latency_ms"]["p95"], seen["lip_sync_ms"]["p95"]
    frames, sounds = seen["video"]["frames"], seen["audio"]["frames"]
    return [
        Check(
            f"viewer in {name}: picture and sound",
            f"{fps:.1f} fps, {frames}/{sounds} frames",
            fps >= 0.95 * FPS and sounds > 0,
        ),
        Check(f"viewer in {name}: latency p95 < 1 s", f"{latency:.0f} ms", latency < 1000),
        Check(f"viewer in {name}: lip-sync p95 < 100 ms", f"{sync:.0f} ms", sync < 100),
    ]


def balancers(both: Mapping[str, Region]) -> str:
    """Each region's classic balancer names an edge."""
    named = []
    for name, region in both.items():
        answer = get(f"{region.door}/?action=server_list")
        assert answer.status == 200, f"{name}: {answer.body}"
        named.append(answer.json["server"])
    return ", ".join(named)


def show(checks: list[Check], both: Mapping[str, Region], keys: Keys) -> None:
    """The table, its last line, and the addresses to open."""
    wide = max(len(check.what) for check in checks)
    print()
    for check in checks:
        print(f"{'PASS' if check.passed else 'FAIL'}  {check.what:<{wide}}  {check.seen}")
    failed = sum(not check.passed for check in checks)
    print(f"\ndemo: {len(checks) - failed} passed, {failed} failed\n")
    for name, region in both.items():
        print(f"  watch in {name}:     {region.door}/play/{STREAM}")
    print(f"  publish in us:   {both['us'].door}/publish/test_us?token={keys.token('test_us')}")
    for name, region in both.items():
        print(f"  kubectl in {name}:   {' '.join(region.kubectl_argv)} -n rivulet get cdnregions,cdnnodes,streams")
    print("  the WAN:         hack/testbed --prefix demo wan")
    print("  remove it all:   make demo-down", flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
