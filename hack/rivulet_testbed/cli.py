"""The command line of hack/testbed."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from rivulet_testbed import (
    binaries,
    bring_up,
    components,
    containerd_images,
    processes,
    status,
    system_images,
    teardown,
    versions,
    wan_cli,
)
from rivulet_testbed.allocation import AllocationFile, Testbed, file_lock
from rivulet_testbed.cluster import Cluster
from rivulet_testbed.components import Installation
from rivulet_testbed.errors import TestbedError, UsageError
from rivulet_testbed.layout import TestbedPaths
from rivulet_testbed.places import parse_wish
from rivulet_testbed.progress import Progress
from rivulet_testbed.settings import Settings, from_environment

Command = Callable[[Settings, argparse.Namespace], int]


def main(argv: list[str]) -> int:
    """Run one command; failures are sentences on stderr and exit code 1 (usage: 2)."""
    options = build_parser().parse_args(argv)
    settings = from_environment(os.environ, options.prefix)
    command: Command = options.command
    try:
        _require_root()
        return command(settings, options)
    except UsageError as wrong:
        sys.stderr.write(f"testbed: {wrong}\n")
        return 2
    except TestbedError as failure:
        sys.stderr.write(f"testbed: {failure}\n")
        return 1


def _require_root() -> None:
    if os.geteuid() != 0:
        raise UsageError("needs root: it makes network namespaces, mounts and cgroups")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(prog="hack/testbed", description="Real Kubernetes clusters in network namespaces.")
    parser.add_argument("--prefix", help="sets this testbed apart from others (default: $RIVULET_PREFIX, else rv)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_lifecycle(commands)
    _add_access(commands)
    _add_components(commands)
    wan_cli.add(commands)
    return parser


def _add_lifecycle(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    up = commands.add_parser("up", help="bring places up: REGION, REGION:KUBELETS or place:NAME")
    up.add_argument("places", nargs="*", metavar="PLACE")
    up.add_argument(
        "--mtu", action="append", default=[], metavar="PLACE=BYTES", help="MTU of a new place (default 1450)"
    )
    up.set_defaults(command=_up)
    down = commands.add_parser("down", help="remove places, or everything")
    down.add_argument("places", nargs="*", metavar="PLACE")
    down.set_defaults(command=_down)
    commands.add_parser("build", help="build Kubernetes' programs, start nothing").set_defaults(command=_build)
    commands.add_parser("status", help="what runs and whether it is well").set_defaults(command=_status)
    commands.add_parser("env", help="the testbed as JSON").set_defaults(command=_env)


def _add_access(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    kubeconfig = commands.add_parser("kubeconfig", help="print the path of a region's admin kubeconfig")
    kubeconfig.add_argument("region")
    kubeconfig.set_defaults(command=_kubeconfig)
    execute = commands.add_parser("exec", help="run a command inside a place's network")
    execute.add_argument("--node", type=int, default=1, help="which node of the region (default 1)")
    execute.add_argument("place")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="CMD")
    execute.set_defaults(command=_exec)
    load = commands.add_parser("load-image", help="import an OCI archive into regions")
    load.add_argument("archive", type=Path)
    load.add_argument("regions", nargs="*")
    load.set_defaults(command=_load_image)


def _add_components(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, command in (("stop", _stop), ("start", _start), ("restart", _restart)):
        parser = commands.add_parser(name, help=f"{name} one component of a region")
        parser.add_argument("region")
        parser.add_argument("component")
        if name != "start":
            parser.add_argument("--kill", action="store_true", help="SIGKILL at once")
        parser.set_defaults(command=command)


def _existing(settings: Settings) -> tuple[Testbed, Installation]:
    testbed = AllocationFile(settings.state_root).read(settings.prefix)
    if testbed is None:
        raise UsageError(f"no testbed {settings.prefix!r}: hack/testbed up REGION…")
    paths = TestbedPaths(settings.state_root, settings.prefix)
    return testbed, Installation(paths, binaries.folder(settings.cache, versions.load()))


def _up(settings: Settings, options: argparse.Namespace) -> int:
    mtus = {name: int(value) for name, _, value in (text.partition("=") for text in options.mtu)}
    bring_up.up(settings, [parse_wish(text) for text in options.places], mtus, Progress())
    return 0


def _build(settings: Settings, _: argparse.Namespace) -> int:
    binaries.ensure(settings.cache, versions.load(), Progress())
    return 0


def _down(settings: Settings, options: argparse.Namespace) -> int:
    teardown.down(settings, options.places, Progress())
    return 0


def _status(settings: Settings, _: argparse.Namespace) -> int:
    testbed, installation = _existing(settings)
    images = system_images.SystemImages(*system_images.names(versions.load()), ())
    clusters = [Cluster(installation, place, images, Progress()) for place in testbed.regions]
    findings = status.look(testbed, installation, clusters)
    sys.stdout.write(status.render(findings) + "\n")
    return 0 if all(finding.healthy for finding in findings) else 1


def _env(settings: Settings, _: argparse.Namespace) -> int:
    testbed, installation = _existing(settings)
    description = status.environment(testbed, installation.paths, str(installation.binaries))
    sys.stdout.write(json.dumps(description, indent=1) + "\n")
    return 0


def _kubeconfig(settings: Settings, options: argparse.Namespace) -> int:
    testbed, installation = _existing(settings)
    path = installation.paths.region(testbed.region(options.region)).kubeconfig("admin")
    sys.stdout.write(f"{path}\n")
    return 0


def _exec(settings: Settings, options: argparse.Namespace) -> int:
    testbed, _ = _existing(settings)
    nodes = testbed.place(options.place).nodes
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not argv or not 1 <= options.node <= len(nodes):
        raise UsageError(f"exec {options.place} -- CMD…; {options.place} has {len(nodes)} node(s)")
    inside = ["nsenter", f"--net=/run/netns/{nodes[options.node - 1].netns}", "--"]
    os.execvp("nsenter", [*inside, *argv])  # noqa: S606 - becomes the command that the caller named


def _load_image(settings: Settings, options: argparse.Namespace) -> int:
    testbed, installation = _existing(settings)
    regions = [testbed.region(name) for name in options.regions] or list(testbed.regions)
    progress = Progress()
    for place in regions:
        for node in place.nodes:
            new = containerd_images.load(installation.paths.node(place, node).containerd_socket, options.archive)
            progress(f"{node.name}: {'loaded ' + ', '.join(new) if new else 'already there'}")
    return 0


def _stop(settings: Settings, options: argparse.Namespace) -> int:
    testbed, installation = _existing(settings)
    program = components.program(installation, testbed.region(options.region), options.component)
    with file_lock(installation.paths.lock, bring_up.COMMAND_LOCK_SECONDS):
        ran = processes.stop(program.record, kill=options.kill)
    sys.stdout.write(f"{program.name} {'stopped' if ran else 'was not running'}\n")
    return 0


def _start(settings: Settings, options: argparse.Namespace) -> int:
    testbed, installation = _existing(settings)
    program = components.program(installation, testbed.region(options.region), options.component)
    with file_lock(installation.paths.lock, bring_up.COMMAND_LOCK_SECONDS):
        started = processes.start(program)
    sys.stdout.write(f"{program.name} {'started' if started else 'runs already'}\n")
    return 0


def _restart(settings: Settings, options: argparse.Namespace) -> int:
    return _stop(settings, options) or _start(settings, options)
