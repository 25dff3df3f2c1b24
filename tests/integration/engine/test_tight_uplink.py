"""A full socket (EAGAIN): on loopback only a slow queue makes one, so this needs a network namespace of its own."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("tc") is None, reason="needs root and tc (iproute2)"),
]
SETUP = "ip link set lo up && ip address add 10.99.0.1/32 dev lo scope global && exec "


async def test_a_full_socket_is_waited_for_and_the_picture_goes_on() -> None:
    script = Path(__file__).with_name("tight_uplink.py")
    process = await asyncio.create_subprocess_exec(
        "unshare",
        "--net",
        "sh",
        "-c",
        SETUP + '"$0" "$1"',
        sys.executable,
        str(script),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 50)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    facts = json.loads(out.decode().splitlines()[-1])
    assert facts["would_block"] > 0, facts
    assert all(frames >= 60 for frames in facts["frames"]), facts
    # A thread that goes on asking whether it may write turns a million times a second.
    assert facts["ticks"] < 10 * facts["packets_sent"], facts
