"""The ``wan`` commands: show, set, cut, heal, preset."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rivulet_testbed import wan_config, wan_control
from rivulet_testbed.layout import TestbedPaths

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from rivulet_testbed.settings import Settings
    from rivulet_testbed.wan_config import Direction, WanConfig

FIELDS = {
    "delay": ("MS", "one-way delay"),
    "jitter": ("MS", "spread around the delay; order is kept"),
    "loss": ("PCT", "packets lost"),
    "burst": ("PACKETS", "lost in a row in the mean; 1: each by itself"),
    "reorder": ("PCT", "packets held 5 ms longer, so that later ones overtake them"),
    "rate": ("MBIT", "bottleneck; 0: none"),
    "queue": ("MS", "what waits before the bottleneck; more is dropped"),
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``wan`` and what comes behind it."""
    wan = commands.add_parser("wan", help="show or change the WAN between places")
    wan.set_defaults(command=_show)
    actions = wan.add_subparsers(metavar="ACTION")
    change = _pair_parser(actions, "set", "change some conditions from A to B (--both: and back)")
    for name, (unit, text) in FIELDS.items():
        change.add_argument(f"--{name}", type=float, metavar=unit, help=text)
    change.add_argument("--both", action="store_true", help="both directions")
    change.set_defaults(command=_set)
    for name, command in (("cut", _cut), ("heal", _heal)):
        parser = _pair_parser(actions, name, f"{name} both directions between A and B")
        parser.add_argument("--one-way", action="store_true", help="only from A to B")
        parser.set_defaults(command=command)
    preset = actions.add_parser(
        "preset", help="; ".join(f"{name}: {text}" for name, text in wan_config.PRESETS.items()).replace("%", "%%")
    )
    preset.add_argument("name", choices=sorted(wan_config.PRESETS))
    preset.set_defaults(command=_preset)


def _pair_parser(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text)
    parser.add_argument("a", metavar="A")
    parser.add_argument("b", metavar="B")
    return parser


def _folder(settings: Settings) -> Path:
    return TestbedPaths(settings.state_root, settings.prefix).wan


def _pairs(options: argparse.Namespace, *, both: bool) -> list[Direction]:
    there = (options.a, options.b)
    return [there, (options.b, options.a)] if both else [there]


def _show(settings: Settings, _: argparse.Namespace) -> int:
    folder = _folder(settings)
    stats = wan_control.ask(folder, "stats")
    sys.stdout.write(wan_control.table(wan_config.load(folder / "config.json"), stats) + "\n")
    return 0


def _apply(settings: Settings, pairs: list[Direction], changes: dict[str, float | bool]) -> int:
    config = wan_control.update(_folder(settings), lambda old: wan_config.with_changes(old, pairs, changes))
    for a, b in pairs:
        sys.stdout.write(f"{a} → {b}: {wan_control.describe(config.conditions((a, b)))}\n")
    return 0


def _set(settings: Settings, options: argparse.Namespace) -> int:
    changes = {name: getattr(options, name) for name in FIELDS if getattr(options, name) is not None}
    return _apply(settings, _pairs(options, both=options.both), changes)


def _cut(settings: Settings, options: argparse.Namespace) -> int:
    return _apply(settings, _pairs(options, both=not options.one_way), {"cut": True})


def _heal(settings: Settings, options: argparse.Namespace) -> int:
    return _apply(settings, _pairs(options, both=not options.one_way), {"cut": False})


def _preset(settings: Settings, options: argparse.Namespace) -> int:
    def change(config: WanConfig) -> WanConfig:
        return wan_config.with_preset(config, options.name)

    wan_control.update(_folder(settings), change)
    return _show(settings, options)
