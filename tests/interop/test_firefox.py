"""Firefox, where it is installed: it is too large for every developer's machine."""

import json
import os
import subprocess
import sys

import pytest

from interop_scene import FOLDER, is_installed
from interop_table import Row, note
from rivulet_scene.command import ROOT

ADDRESS = "198.18.0.1"  # RFC 2544: nobody's; in the namespace only
OWN_NETWORK = (
    "ip link set lo up && ip link add rivulet0 type veth peer name rivulet1 && ip link set rivulet1 up "
    f"&& ip address add {ADDRESS}/24 dev rivulet0 && ip link set rivulet0 up "
    '&& ip route add default dev rivulet0 && exec "$@"'
)


@pytest.mark.timeout(240)
@pytest.mark.skipif(not is_installed("firefox-esr"), reason="no Firefox here: `make interop` installs it")
@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
def test_firefox_publishes_and_plays() -> None:
    """In a network namespace: Firefox does not check addresses of loopback."""
    scene = [str(ROOT / ".venv/bin/python"), str(FOLDER / "firefox_scene.py"), ADDRESS]
    done = subprocess.run(
        ["unshare", "--net", "--kill-child", "bash", "-c", OWN_NETWORK, "bash", *scene],
        check=False,
        capture_output=True,
        text=True,
        timeout=220,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    rows = [Row(**json.loads(line)) for line in done.stdout.splitlines()]
    assert [row.does for row in rows] == ["publishes", "plays"]
    for row in rows:
        note(row)
