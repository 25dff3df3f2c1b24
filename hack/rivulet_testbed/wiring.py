"""Runs the plans of network.py."""

import os
from collections.abc import Iterable
from pathlib import Path

from rivulet_testbed.command import attempt, run
from rivulet_testbed.network import Step, has_rule

ALLOWED_CONGESTION_CONTROL = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")


def apply(steps: Iterable[Step]) -> None:
    """Run each command that is not done already."""
    for step in steps:
        if not (step.unless and _is_done(step.unless)):
            run(list(step.argv))


def _is_done(unless: tuple[str, ...]) -> bool:
    if unless[0] == "rule-exists":
        return has_rule(run(["ip", "rule"]), int(unless[1]), unless[2])
    if unless[0] == "test":
        return os.path.ismount(unless[2])
    return attempt(list(unless)).returncode == 0


def allow_cubic() -> None:
    """Let namespaces choose cubic: a host with another default (bbr, say) may allow only that one in them.

    The host's own default stays; the permission is the one setting outside our names that ``down`` leaves as it is.
    """
    allowed = ALLOWED_CONGESTION_CONTROL.read_text().split()
    if "cubic" not in allowed:
        ALLOWED_CONGESTION_CONTROL.write_text(" ".join([*allowed, "cubic"]))
