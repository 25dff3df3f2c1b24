"""Steps that many scenes share."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from rivulet_scene.bare import BareCdn, Process, metric
from rivulet_scene.clients import Client, Program, camera
from rivulet_scene.http import get
from rivulet_scene.waiting import until

# Of nodes that are to have no sockets left soon after their relays.
BRIEF_LINKS = ("--link-seconds", "5")
# A relay that is cut costs viewers more, its silence is noticed after 4.5 s; shorter gaps are those of a busy machine.
CUT_MS = 4000
LONG_NAME = ("Fair_Name.With-Capitals_" + "x" * 128)[:128]


def edge_relays(cdn: BareCdn, slot: str) -> float:
    return metric(cdn.processes[slot].http, "rivulet_relays", direction="in")


def live(cdn: BareCdn, region: str, stream: str) -> bool:
    answer = get(f"{cdn.regions[region].public()}/v1/streams/{stream}")
    return answer.status == 200 and answer.json["state"] == "live"


def publish(cdn: BareCdn, stream: str, *options: str, region: str = "eu", subject: str = "camera-1") -> Client:
    door = cdn.regions[region].public()
    client = camera(f"{door}/whip/{stream}", *options, token=cdn.token(stream, subject=subject))
    client.line(0)
    slots = [slot for slot, process in cdn.processes.items() if f"-{region}-" in slot and process.running]
    for slot in (slot for slot in slots if not slot.startswith("director")):
        until(partial(playable, cdn, slot, stream), f"{stream} playable by {slot}", seconds=20)
    until(lambda: live(cdn, region, stream), f"{stream} live", seconds=10)
    return client


def playable(cdn: BareCdn, slot: str, stream: str) -> bool:
    """Whether a node's own table has the stream live and knows its tracks."""
    return any(entry["tracks"] for entry in live_entries(cdn, slot, stream))


def live_entries(cdn: BareCdn, slot: str, stream: str) -> list[dict[str, Any]]:
    """A stream's publications that are live in a node's own table."""
    entries = cdn.table(slot)["streams"]
    return [dict(entry) for entry in entries if entry["stream"] == stream and entry["state"] == "live"]


def holder(cdn: BareCdn, stream: str) -> str:
    """The slot that a stream is published on; "" while there is none."""
    entries = [entry for entry in cdn.director_table("eu")["streams"] if entry["stream"] == stream]
    playing = [entry for entry in entries if entry["state"] == "live"]
    newest = max(playing, key=lambda entry: float(entry["since"]), default={"origin": ""})
    return str(newest["origin"]).partition("/")[0]


@contextmanager
def frozen(process: Process) -> Iterator[None]:
    """Silent, with all its sockets open."""
    process.freeze()
    try:
        yield
    finally:
        process.thaw()


def agreed(cdn: BareCdn) -> bool:
    """Whether all nodes and directors that run have equal tables (D10)."""
    digests = set()
    for name in (name for name, process in cdn.processes.items() if process.running):
        role, region, number = name.split("-")
        table = cdn.director_table(region, int(number)) if role == "director" else cdn.table(name)
        digests.add(table["digest"])
    return len(digests) == 1


def logged(cdn: BareCdn, slot: str, message: str) -> int:
    """How often a process has logged that, under its name."""
    lines = map(json.loads, cdn.processes[slot].log.read_text().splitlines())
    return sum(line["message"] == message for line in lines)


def pictures(viewer: Program) -> int:
    """How many pictures it has seen by its last word."""
    return max((int(line["video"]["frames"]) for line in viewer.lines if "video" in line), default=0)


def state(cdn: BareCdn, slot: str, stream: str) -> str | None:
    """A stream's state in a node's own table (live before lost before ended); None when it stands there no longer."""
    found = {entry["state"] for entry in cdn.table(slot)["streams"] if entry["stream"] == stream}
    return next((each for each in ("live", "lost", "ended") if each in found), None)


def node_state(table: dict[str, object], slot: str) -> str | None:
    """A node's state in a table; None when it stands there no longer."""
    nodes = table["nodes"]
    assert isinstance(nodes, list)
    found = [entry["state"] for entry in nodes if entry["node"] == slot]
    return found[0] if found else None
