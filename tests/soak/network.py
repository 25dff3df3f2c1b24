"""The network of a soak: a namespace of its own with a lossy loopback, in which nodes can be cut off."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable

# Set to the loss, in percent, in a network that has one.
INSIDE = "RIVULET_SOAK_LOSS"


class NoNetworkError(Exception):
    """There cannot be one: it takes root, unshare and iptables."""


def enter(percent: float) -> None:
    """Begin this program again in such a network, which goes with the last process in it; nothing where it is one."""
    if INSIDE in os.environ:
        return
    lacking = [program for program in ("unshare", "iptables", "ip") if shutil.which(program) is None]
    if os.geteuid() != 0:
        lacking.append("root")
    if lacking:
        raise NoNetworkError(f"loss and cuts need {' and '.join(lacking)}")
    rule = f"iptables -A INPUT -p udp {_dropping(percent)}"
    words = ["unshare", "--net", "sh", "-c", f'ip link set lo up && {rule} && exec "$0" "$@"', sys.executable]
    os.execvpe(words[0], [*words, *sys.argv], {**os.environ, INSIDE: str(percent)})  # noqa: S606 - a fixed program


def loss() -> float:
    """The fraction of datagrams that is lost here."""
    return float(os.environ[INSIDE]) / 100


def cut(ports: Iterable[int]) -> None:
    """Whatever goes to these UDP ports or comes from them is lost, until `mend`."""
    for port in ports:
        for end in ("--sport", "--dport"):
            _iptables("-I", "INPUT", "-p", "udp", end, str(port), "-j", "DROP")


def mend(*, lossy: bool) -> None:
    """Nothing is cut any more; `lossy`: but the usual loss goes on."""
    _iptables("-F", "INPUT")
    if lossy:
        _iptables("-A", "INPUT", "-p", "udp", *_dropping(loss() * 100).split())


def _dropping(percent: float) -> str:
    return f"-m statistic --mode random --probability {percent / 100:.6f} -j DROP"


def _iptables(*words: str) -> None:
    subprocess.run(["iptables", *words], check=True)
