"""``up``: everything from nothing, or whatever is missing."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from rivulet_testbed import (
    binaries,
    cgroups,
    network,
    packages,
    processes,
    system_images,
    versions,
    wan_config,
    wan_control,
    wiring,
)
from rivulet_testbed.allocation import AllocationFile, Testbed, file_lock
from rivulet_testbed.cluster import Cluster
from rivulet_testbed.command import wait_until
from rivulet_testbed.components import Installation, wan_router
from rivulet_testbed.errors import TestbedError
from rivulet_testbed.layout import TestbedPaths
from rivulet_testbed.places import Wish, check_prefix
from rivulet_testbed.progress import Progress
from rivulet_testbed.settings import Settings

COMMAND_LOCK_SECONDS = 20.0
ROUTER_SECONDS = 20.0


def up(settings: Settings, wishes: list[Wish], mtus: Mapping[str, int], progress: Progress) -> Testbed:
    """Bring the wished places up (without wishes: those that exist) and return the testbed."""
    check_prefix(settings.prefix)
    pinned = versions.load()
    packages.ensure(packages.CLUSTER, settings.cache / "logs" / "apt.log", progress, with_cni=True)
    programs = binaries.ensure(settings.cache, pinned, progress)
    images = system_images.ensure(settings.cache, pinned, programs)
    paths = TestbedPaths(settings.state_root, settings.prefix)
    paths.root.mkdir(parents=True, exist_ok=True)
    with file_lock(paths.lock, COMMAND_LOCK_SECONDS):
        testbed = AllocationFile(settings.state_root).grow(settings.prefix, wishes, mtus)
        _wire(testbed, paths, progress)
        wished = [testbed.place(wish.name) for wish in wishes] or list(testbed.places)
        installation = Installation(paths, programs)
        _bring_up([Cluster(installation, place, images, progress) for place in wished if place.is_region])
    progress(f"up: {', '.join(place.name for place in testbed.places)}")
    return testbed


def _wire(testbed: Testbed, paths: TestbedPaths, progress: Progress) -> None:
    """Make the bridges, the namespaces, the WAN and its router."""
    wiring.allow_cubic()
    wiring.apply(network.forward_plan(testbed.prefix))
    for place in testbed.places:
        wiring.apply(network.bridge_plan(place))
        for node in place.nodes:
            wiring.apply(network.node_plan(place, node))
    start_router(testbed, paths)
    wiring.apply(network.wan_route_plan(testbed))
    progress(f"network of {', '.join(place.name for place in testbed.places)} wired")


def start_router(testbed: Testbed, paths: TestbedPaths) -> None:
    """Start the WAN router if it does not run, and tell it of all places."""
    cgroups.make(f"{paths.cgroup}/wan")
    paths.wan.mkdir(parents=True, exist_ok=True)
    config = wan_config.with_places(wan_config.load(paths.wan / "config.json"), wan_control.places_of(testbed))
    wan_config.save(paths.wan / "config.json", config)
    program = wan_router(paths)
    processes.start(program)
    wait_until(lambda: _router_answers(paths), "WAN router answers", seconds=ROUTER_SECONDS, log=program.log)


def _router_answers(paths: TestbedPaths) -> bool:
    try:
        wan_control.ask(paths.wan, "reload")
    except TestbedError:
        return False
    return True


def _bring_up(clusters: list[Cluster]) -> None:
    """Bring regions up side by side; all run to their end, then the first failure is raised."""
    if not clusters:
        return
    with ThreadPoolExecutor(len(clusters)) as pool:
        for job in [pool.submit(cluster.up) for cluster in clusters]:
            job.result()
