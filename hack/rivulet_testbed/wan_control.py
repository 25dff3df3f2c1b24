"""The command line's side of the WAN: change the configuration file, tell the router, show the matrix."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rivulet_testbed import wan_config
from rivulet_testbed.allocation import Testbed, file_lock
from rivulet_testbed.errors import TestbedError
from rivulet_testbed.wan_config import Direction, WanConfig
from rivulet_testbed.wan_model import Conditions

CONTROL_SECONDS = 5.0


def places_of(testbed: Testbed) -> dict[str, int]:
    """Return the router's way to tell places apart: the third number of their addresses."""
    return {place.name: place.slot for place in testbed.places}


def ask(folder: Path, request: str) -> dict[str, Any]:
    """Send the router one request and return its answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(CONTROL_SECONDS)
        try:
            connection.connect(str(folder / "control.sock"))
            connection.sendall(request.encode() + b"\n")
            answer = connection.makefile().readline()
        except OSError as reason:
            raise TestbedError(f"the WAN router does not answer ({reason}); see hack/testbed status") from reason
    content: dict[str, Any] = json.loads(answer)
    return content


def update(folder: Path, change: Callable[[WanConfig], WanConfig]) -> WanConfig:
    """Change the configuration, and make the router take it before this returns."""
    with file_lock(folder / "config.lock", CONTROL_SECONDS):
        config = change(wan_config.load(folder / "config.json"))
        wan_config.save(folder / "config.json", config)
        ask(folder, "reload")
    return config


def describe(conditions: Conditions) -> str:
    """Put conditions into words for the matrix."""
    if conditions.cut:
        return "cut"
    words = [f"{conditions.delay:g} ms"]
    words += [f"±{conditions.jitter:g} ms"] if conditions.jitter else []
    bursts = f" in bursts of {conditions.burst:g}" if conditions.burst > 1 else ""
    words += [f"loss {conditions.loss:g} %{bursts}"] if conditions.loss else []
    words += [f"reorder {conditions.reorder:g} %"] if conditions.reorder else []
    words += [f"{conditions.rate:g} Mbit/s, queue {conditions.queue:g} ms"] if conditions.rate else []
    return ", ".join(words)


def table(config: WanConfig, stats: dict[str, Any]) -> str:
    """Render every direction with its conditions and counters."""
    lines = [f"{'direction':<14}{'packets':>10}{'Mbyte':>9}{'lost':>7}{'queue':>7}{'cut':>7}  one way"]
    for pair in config.all_directions():
        lines += [_row(pair, config.conditions(pair), stats["directions"].get(f"{pair[0]}>{pair[1]}", {}))]
    return "\n".join(lines)


def _row(pair: Direction, conditions: Conditions, counters: dict[str, int]) -> str:
    seen = [counters.get(name, 0) for name in ("packets", "bytes", "lost", "queue_full", "cut")]
    name = f"{pair[0]} → {pair[1]}"
    return f"{name:<14}{seen[0]:>10}{seen[1] / 1e6:>9.1f}{seen[2]:>7}{seen[3]:>7}{seen[4]:>7}  {describe(conditions)}"
