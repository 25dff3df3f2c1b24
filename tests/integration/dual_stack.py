"""Run in a network namespace of its own (test_dual_stack.py): three regions, of IPv4 and IPv6. Prints what was seen.

eu has both families and is advertised under its IPv6 address first. us has IPv6 and not one IPv4 address, ap has IPv4
on a machine where IPv6 is switched off; each is a namespace with a cable to eu. Nobody is told what to bind, and in eu
the system's default for IPv6 sockets is to leave IPv4 out.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rivulet_scene.bare import BareCdn
from rivulet_scene.clients import Program
from rivulet_scene.command import MEDIA, output
from rivulet_scene.waiting import until
from steps import live, node_state, pictures, publish

EU4, AP = "10.98.4.1", "10.98.4.2"
EU6, US = "fd98:6::1", "fd98:6::2"
KUBE_NODE = "dual"
PLAY_SECONDS = 6
LONGER_SECONDS = 15  # something else begins and ends meanwhile
STREAMS: dict[str, dict[str, Any]] = {
    "by_udp": {"region": "eu"},
    "by_tcp": {"region": "eu", "distribution": {"transport": "tcp"}},
}
Facts = dict[str, Any]


def run(commands: str, inside: tuple[str, ...] = ()) -> None:
    for command in commands.strip().splitlines():
        output([*inside, *command.split()])


@contextmanager
def place(name: str, ours: str, theirs: str) -> Iterator[tuple[str, ...]]:
    """A namespace at the other end of a cable; the words that start a program in it."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    inside = ("nsenter", f"--net=/proc/{holder.pid}/ns/net")
    try:
        until(lambda: output([*inside, "ip", "-o", "link"]).count("\n") == 1, "a namespace", seconds=10)
        run(f"ip link add {name} type veth peer name eth0 netns {holder.pid}")
        prefix = "/64 nodad" if ":" in ours else "/24"
        run(f"ip addr add {ours}{prefix} dev {name}\nip link set {name} up")
        run(f"ip link set lo up\nip addr add {theirs}{prefix} dev eth0\nip link set eth0 up", inside)
        run(f"ip route add default via {ours}", inside)
        yield inside
    finally:
        holder.kill()
        holder.wait()


def play(door: str, stream: str, inside: tuple[str, ...], seconds: int = PLAY_SECONDS) -> Program:
    words = ["play", f"{door}/whep/{stream}", "--json", "--progress", "--duration", str(seconds)]
    return Program([*inside, str(MEDIA), *words])


def peers(cdn: BareCdn, session: str) -> set[str]:
    """From where a session's datagrams come, as its node sees it."""
    eu = cdn.regions["eu"]
    words = ["trace", session, "--entry", eu.internal(), "--join-token", eu.join_token, "--seconds", "2"]
    lines = [json.loads(line) for line in output([MEDIA, *words]).splitlines()]
    return {line["peer"].rpartition(":")[0] for line in lines if line.get("dir") == "in"}


def start(cdn: BareCdn, us: tuple[str, ...], ap: tuple[str, ...]) -> None:
    for name, host, inside in (("us", f"[{US}]", us), ("ap", AP, ap)):
        cdn.regions[name].host, cdn.regions[name].inside = host, inside
    write(cdn, f"{EU6}, {EU4}")
    for region in cdn.regions:
        cdn.director(region, ready=False)
    cdn.node("origin-eu-0", "origin", "eu", "--kube-node", KUBE_NODE)
    cdn.node("edge-eu-0", "edge", "eu", "--kube-node", KUBE_NODE)
    cdn.node("edge-us-0", "edge", "us")
    cdn.node("edge-ap-0", "edge", "ap")
    for region in cdn.regions:
        cdn.settled(region)


def write(cdn: BareCdn, addresses: str) -> None:
    """Every region's file; eu is known to each other one by the address that it can reach."""
    eu = cdn.regions["eu"]
    ours = eu.host
    for region in cdn.regions.values():
        eu.host = {"us": f"[{EU6}]", "ap": EU4}.get(region.name, ours)
        cdn.write_file(region, STREAMS, nodeDefaults={"addressMap": {KUBE_NODE: addresses}})
    eu.host = ours


def entry(cdn: BareCdn, slot: str) -> Facts:
    return next(dict(entry) for entry in cdn.table(slot)["nodes"] if entry["node"] == slot)


def watch(cdn: BareCdn, us: tuple[str, ...], ap: tuple[str, ...]) -> Facts:
    """Both streams in each region, and in eu from where it has only one of the families."""
    door = cdn.regions["eu"].directors[0][0]
    facts: Facts = {}
    with ExitStack() as stack:
        for stream in STREAMS:
            stack.enter_context(publish(cdn, stream))
        for stream in STREAMS:
            for region in ("us", "ap"):
                until(lambda: live(cdn, region, stream), f"{region} knows {stream}", seconds=15)  # noqa: B023
        for name, host, inside in (("eu from us", f"[{EU6}]", us), ("eu from ap", EU4, ap)):
            with play(f"http://{host}:{door}", "by_udp", inside, LONGER_SECONDS) as viewer:
                seen = peers(cdn, viewer.line(0)["session"])
                facts[name] = {**viewer.result(), "peers": sorted(seen)}
        for region, inside in (("us", us), ("ap", ap)):
            for stream in STREAMS:
                with play(cdn.regions[region].public(), stream, inside) as viewer:
                    facts[f"{region} {stream}"] = viewer.result()
        facts["readdressed"] = readdress(cdn, us)
    return facts


def readdress(cdn: BareCdn, us: tuple[str, ...]) -> Facts:
    """The map changes while somebody watches: a change of the table, and whoever plays plays on."""
    door = f"http://[{EU6}]:{cdn.regions['eu'].directors[0][0]}"
    with play(door, "by_udp", us, LONGER_SECONDS) as viewer:
        until(lambda: pictures(viewer) > 0, "a picture", seconds=20)
        write(cdn, EU4)
        until(lambda: entry(cdn, "edge-eu-0")["address"] == EU4, "the new address", seconds=15)
        before = pictures(viewer)
        return {"entry": entry(cdn, "edge-eu-0"), "frames before": before, "viewer": viewer.result()}


def main(directory: Path) -> None:
    run("ip link set lo up\nsysctl -qw net.ipv6.bindv6only=1")
    with place("us", EU6, US) as us, place("ap", EU4, AP) as ap:
        run("ip addr del 127.0.0.1/8 dev lo", us)
        run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1", ap)
        with BareCdn(directory, {"eu": 1, "us": 1, "ap": 1}, STREAMS, bind="") as cdn:
            start(cdn, us, ap)
            until(lambda: node_state(cdn.table("edge-us-0"), "origin-eu-0") == "up", "us knows eu", seconds=15)
            joined = entry(cdn, "edge-eu-0")
            print(json.dumps({"joined": joined, **watch(cdn, us, ap)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
