"""A network namespace behind one link, whose rate towards it can be set. Needs root, ip and tc (iproute2)."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

COMMAND_SECONDS = 10
POSSIBLE = os.geteuid() == 0 and shutil.which("ip") is not None and shutil.which("tc") is not None
WIDE_KBIT = 100_000


@dataclass(frozen=True)
class NarrowPath:
    """`namespace`: its name; `here`: this side's address of the link, and the way out."""

    namespace: str
    link: str
    here: str
    there: str

    def set_rate(self, kbit: float) -> None:
        """What passes towards the namespace from now on; the queue holds 300 ms of it."""
        _run(f"tc qdisc replace dev {self.link} root tbf rate {kbit:.0f}kbit burst 16kb latency 300ms")


@contextlib.contextmanager
def narrow_path() -> Iterator[NarrowPath]:
    """A wide one, which can be made narrow. Named and numbered by this process, so that several may run."""
    number = os.getpid() % (1 << 14)
    net, host = divmod(4 * number, 256)
    path = NarrowPath(f"rvpath{number}", f"rvp{number}", f"10.97.{net}.{host + 1}", f"10.97.{net}.{host + 2}")
    with contextlib.ExitStack() as stack:
        _run(f"ip netns add {path.namespace}")
        stack.callback(_run, f"ip netns delete {path.namespace}")
        _run(f"ip link add {path.link} type veth peer name eth0 netns {path.namespace}")
        stack.callback(_run, f"ip link delete {path.link}")
        _run(f"ip address add {path.here}/30 dev {path.link}")
        _run(f"ip link set {path.link} up")
        inside = f"ip -n {path.namespace}"
        _run(f"{inside} link set lo up")
        _run(f"{inside} address add {path.there}/30 dev eth0")
        _run(f"{inside} link set eth0 up")
        _run(f"{inside} route add default via {path.here}")
        path.set_rate(WIDE_KBIT)
        yield path


def _run(command: str) -> None:
    done = subprocess.run(command.split(), capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
