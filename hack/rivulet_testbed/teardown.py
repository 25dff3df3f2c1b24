"""``down``: removes every trace, of a whole testbed or of some of its places, whatever state they are in.

It trusts no file that a killed ``up`` may have left unwritten: what is ours is found by its place in the cgroup tree,
its path and its name.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from rivulet_testbed import cgroups, network, processes, wan_config, wan_control
from rivulet_testbed.allocation import AllocationFile, Testbed, file_lock
from rivulet_testbed.bring_up import COMMAND_LOCK_SECONDS
from rivulet_testbed.command import attempt, run
from rivulet_testbed.errors import TestbedError
from rivulet_testbed.layout import CGROUP_ROOT, TestbedPaths
from rivulet_testbed.places import MAX_PREFIXES, Place, check_prefix, router_table
from rivulet_testbed.progress import Progress
from rivulet_testbed.settings import Settings

CNI_RESULTS = Path("/var/lib/cni/results")
CONTAINER_LOG_LINKS = Path("/var/log/containers")
NETNS_FOLDER = Path("/run/netns")
UNMOUNT_ROUNDS = 5


@dataclass(frozen=True)
class Scope:
    """What to remove: cgroups, folders, and names of namespaces and devices that begin so or are exactly so."""

    cgroups: tuple[str, ...]
    folders: tuple[Path, ...]
    places: tuple[str, ...] | None

    def holds(self, name: str, prefix: str) -> bool:
        """Tell whether a namespace or device is to go: ``prefix-place``, with a node's number behind it or not."""
        if not name.startswith(f"{prefix}-"):
            return False
        stem = name.removeprefix(f"{prefix}-").partition(".")[0].partition("-")[0]
        return self.places is None or stem in self.places


def scope_of(paths: TestbedPaths, places: list[Place] | None) -> Scope:
    """Return the scope of some places, or of the whole prefix. Pure."""
    if places is None:
        return Scope((paths.cgroup,), (paths.root,), None)
    nodes = tuple(paths.node(place, node).cgroup for place in places for node in place.nodes)
    return Scope(nodes, tuple(paths.region(place).root for place in places), tuple(place.name for place in places))


def down(settings: Settings, names: list[str], progress: Progress) -> None:
    """Remove some places, or with no names (or with the last of them) the whole testbed."""
    check_prefix(settings.prefix)
    paths = TestbedPaths(settings.state_root, settings.prefix)
    allocations = AllocationFile(settings.state_root)
    settings.state_root.mkdir(parents=True, exist_ok=True)
    with file_lock(paths.lock, COMMAND_LOCK_SECONDS):
        testbed = allocations.read(settings.prefix)
        going = [testbed.place(name) for name in names] if testbed else []
        whole = not names or testbed is None or len(going) == len(testbed.places)
        left = _sweep(paths, scope_of(paths, None if whole else going), testbed)
        if not whole and testbed is not None:
            _forget_places(paths, testbed, {place.name for place in going}, progress)
        allocations.shrink(settings.prefix, {p.name for p in testbed.places} if whole and testbed else set(names))
        _remove_empty(settings.state_root, paths)
    if left:
        raise TestbedError("down: could not remove " + ", ".join(left))
    progress(f"down: {settings.prefix} {', '.join(names) if not whole else '(everything)'}")


def _sweep(paths: TestbedPaths, scope: Scope, testbed: Testbed | None) -> list[str]:
    """Remove everything in the scope; return what resists."""
    if scope.places is None:
        processes.stop(paths.wan / "router.pid", kill=True)
    for cgroup in scope.cgroups:
        cgroups.kill_members(cgroup)
    outside = [path for folder in scope.folders for path in [*shim_sockets(folder), *loopback_results(folder)]]
    left = _unmount(scope.folders)
    _remove_network(paths.prefix, scope, testbed)
    for path in [*outside, *_cni_results(paths.prefix, scope), *_log_links(scope.folders)]:
        path.unlink(missing_ok=True)
    for cgroup in scope.cgroups:
        left += [str(path) for path in cgroups.remove(cgroup)]
    if not left:
        for folder in scope.folders:
            shutil.rmtree(folder, ignore_errors=True)
    return left


def shim_sockets(folder: Path) -> list[Path]:
    """Return the sockets of containerd's shims, which lie outside our folder; their addresses are inside."""
    addresses = _below_containerd(folder, "state/io.containerd.runtime.v2.task/*/*/address")
    return [Path(path.read_text().strip().removeprefix("unix://")) for path in addresses]


def loopback_results(folder: Path) -> list[Path]:
    """Return what CNI has cached of our pods' loopback devices: files named by sandboxes inside our folder."""
    sandboxes = _below_containerd(folder, "root/io.containerd.grpc.v1.cri/sandboxes/*")
    return [CNI_RESULTS / f"cni-loopback-{sandbox.name}-lo" for sandbox in sandboxes]


def _below_containerd(folder: Path, pattern: str) -> list[Path]:
    """Return paths of every node's containerd, whether the folder is a region's or the prefix's."""
    return [*folder.glob(f"*/containerd/{pattern}"), *folder.glob(f"*/*/containerd/{pattern}")]


def mounts_below(mountinfo: str, folders: tuple[Path, ...]) -> list[str]:
    """Return the mount points below the folders, the latest first. Pure."""
    points = [line.split()[4].encode().decode("unicode_escape") for line in mountinfo.splitlines()]
    return [point for point in reversed(points) if any(Path(point).is_relative_to(folder) for folder in folders)]


def _unmount(folders: tuple[Path, ...]) -> list[str]:
    for _ in range(UNMOUNT_ROUNDS):
        points = mounts_below(Path("/proc/self/mountinfo").read_text(), folders)
        if not points:
            return []
        for point in points:
            attempt(["umount", "--lazy", "--no-mtab", point])
    return mounts_below(Path("/proc/self/mountinfo").read_text(), folders)


def _remove_network(prefix: str, scope: Scope, testbed: Testbed | None) -> None:
    for namespace in sorted(path.name for path in NETNS_FOLDER.glob(f"{prefix}-*")) if NETNS_FOLDER.exists() else []:
        if scope.holds(namespace, prefix):
            run(["ip", "netns", "del", namespace])
    for device in _devices():
        if scope.holds(device, prefix):
            attempt(["ip", "link", "del", "dev", device])
    _remove_rules(prefix, scope, testbed)
    if scope.places is None:
        for step in network.forward_plan(prefix):
            _delete_while_there(step)


def _devices() -> list[str]:
    return sorted(path.name for path in Path("/sys/class/net").iterdir())


def stale_rules(listing: str, prefix: str, scope: Scope) -> list[tuple[str, str]]:
    """Return (priority, bridge) of our rules for devices in the scope, also for devices that are gone. Pure."""
    rules = []
    for line in listing.splitlines():
        priority, _, rest = line.partition(":")
        words = rest.split()
        ours = priority.isdigit() and router_table(0) <= int(priority) < router_table(MAX_PREFIXES)
        if ours and "iif" in words and scope.holds(words[words.index("iif") + 1], prefix):
            rules.append((priority, words[words.index("iif") + 1]))
    return rules


def _remove_rules(prefix: str, scope: Scope, testbed: Testbed | None) -> None:
    rules = stale_rules(run(["ip", "rule"]), prefix, scope)
    for priority, bridge in rules:
        run(["ip", "rule", "del", "pref", priority, "iif", bridge])
    tables = {priority for priority, _ in rules} | ({str(router_table(testbed.index))} if testbed else set())
    for table in tables if scope.places is None else set():
        attempt(["ip", "route", "flush", "table", table])


def _delete_while_there(step: network.Step) -> None:
    for _ in range(10):
        if attempt(list(step.unless)).returncode != 0:
            return
        run([word if word != "-I" else "-D" for word in step.argv])


def _cni_results(prefix: str, scope: Scope) -> list[Path]:
    """Return what CNI has cached of our networks (rivulet-PREFIX-PLACE…)."""
    if not CNI_RESULTS.exists():
        return []
    return [
        path
        for path in CNI_RESULTS.glob(f"rivulet-{prefix}-*")
        if scope.holds(path.name.removeprefix("rivulet-"), prefix)
    ]


def _log_links(folders: tuple[Path, ...]) -> list[Path]:
    """Return kubelet's links to the logs of our containers."""
    if not CONTAINER_LOG_LINKS.exists():
        return []
    links = [path for path in CONTAINER_LOG_LINKS.iterdir() if path.is_symlink()]
    return [link for link in links if any(link.readlink().is_relative_to(folder) for folder in folders)]


def _forget_places(paths: TestbedPaths, testbed: Testbed, names: set[str], progress: Progress) -> None:
    """Tell the router, and take the places out of the routing table."""
    for place in testbed.places:
        if place.name in names:
            attempt(["ip", "route", "del", place.subnet, "table", str(router_table(testbed.index))])
    staying = {place.name: place.slot for place in testbed.places if place.name not in names}
    try:
        wan_control.update(paths.wan, lambda config: wan_config.with_places(config, staying))
    except TestbedError as dead:  # the file is written; a router that starts again reads it
        progress(f"{dead}")


def _remove_empty(state_root: Path, paths: TestbedPaths) -> None:
    """Remove what the last testbed of this machine leaves."""
    if not paths.root.exists():
        paths.lock.unlink(missing_ok=True)
    for root in cgroups.all_roots():
        _rmdir(root / CGROUP_ROOT)
    AllocationFile(state_root).remove_if_empty()
    for folder in (CNI_RESULTS, CNI_RESULTS.parent, CONTAINER_LOG_LINKS):
        _rmdir(folder)


def _rmdir(folder: Path) -> None:
    """Remove a folder if it is there and empty."""
    try:
        folder.rmdir()
    except OSError:
        return
