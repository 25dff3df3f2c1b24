"""A browser from which no UDP gets out, and no TURN server: it comes by ICE-TCP."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

ADDRESS = "10.99.0.1"
pytestmark = [
    pytest.mark.timeout(150),
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the package chromium"),
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("iptables") is None, reason="needs root and iptables"),
]
SETUP = (
    f"ip link set lo up && ip link add v0 type veth peer name v1 && ip address add {ADDRESS}/24 dev v0"
    " && ip link set v0 up && ip link set v1 up"
    " && ip route add default dev v0 && iptables -A OUTPUT -p udp -j DROP && exec "
)


async def test_without_udp_a_browser_publishes_and_plays_over_tcp_n2(tmp_path: Path) -> None:
    """N2: from the page's load to a decoded picture ≤ 10 s, and both sessions by TCP."""
    script = Path(__file__).with_name("no_udp.py")
    process = await asyncio.create_subprocess_exec(
        "unshare",
        "--net",
        "sh",
        "-c",
        SETUP + '"$0" "$@"',
        sys.executable,
        str(script),
        ADDRESS,
        str(tmp_path),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 130)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    facts = json.loads(out.decode().splitlines()[-1])
    assert facts["transports"] == ["tcp", "tcp"], facts
    assert facts["seconds"] <= 10, facts
    assert facts["report"]["video"]["frames"] > 30, facts
    assert facts["report"]["audio"]["packets"] > 50, facts
