"""The wished state of the WAN: conditions per direction, presets, and their file. Pure but for load and save."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rivulet_testbed.errors import UsageError
from rivulet_testbed.wan_model import Conditions

DEFAULT_SEED = 1
DEFAULT_RTT = 84.0
# Round trips in ms between the places of acceptance.md, section T, and one made up where it names none.
KNOWN_RTT = {
    frozenset({"eu", "us"}): 84.0,
    frozenset({"eu", "nsk"}): 90.0,
    frozenset({"us", "nsk"}): 170.0,
    frozenset({"eu", "sg"}): 183.0,
    frozenset({"sg", "nsk"}): 306.0,
    frozenset({"us", "sg"}): 230.0,
}
PRESETS = {
    "world": "the round trips of docs/testbed.md, nothing lost (the default)",
    "lan": "no delay, nothing lost",
    "lossy": "as world, with 2 % loss and 5 ms jitter",
    "mobile": "as world, with 1 % loss, 15 ms jitter and 8 Mbit/s with a queue of 200 ms",
}
Direction = tuple[str, str]


@dataclass(frozen=True)
class WanConfig:
    """What the router needs: places by the third number of their addresses, conditions per direction, the seed."""

    places: Mapping[str, int]
    directions: Mapping[Direction, Conditions]
    seed: int = DEFAULT_SEED

    def conditions(self, direction: Direction) -> Conditions:
        """Return what is set for a direction, else its default."""
        return self.directions.get(direction) or preset_conditions("world", direction)

    def all_directions(self) -> list[Direction]:
        """List every ordered pair of places."""
        return [(a, b) for a in self.places for b in self.places if a != b]


def preset_conditions(preset: str, direction: Direction) -> Conditions:
    """Return a preset's conditions for one direction: half the round trip each way."""
    if preset == "lan":
        return Conditions()
    base = Conditions(delay=KNOWN_RTT.get(frozenset(direction), DEFAULT_RTT) / 2)
    if preset == "world":
        return base
    if preset == "lossy":
        return replace(base, loss=2.0, jitter=5.0)
    if preset == "mobile":
        return replace(base, loss=1.0, jitter=15.0, rate=8.0, queue=200.0)
    raise UsageError(f"no preset {preset!r}; there are: {', '.join(PRESETS)}")


def with_places(config: WanConfig, places: Mapping[str, int]) -> WanConfig:
    """Take over the places of the testbed; conditions of places that are gone are forgotten."""
    kept = {pair: conditions for pair, conditions in config.directions.items() if set(pair) <= set(places)}
    return replace(config, places=dict(places), directions=kept)


def with_preset(config: WanConfig, preset: str) -> WanConfig:
    """Set every direction to a preset."""
    return replace(config, directions={pair: preset_conditions(preset, pair) for pair in config.all_directions()})


def with_changes(config: WanConfig, pairs: Iterable[Direction], changes: Mapping[str, float | bool]) -> WanConfig:
    """Change the named fields of some directions and keep the others."""
    directions = dict(config.directions)
    for pair in pairs:
        check_pair(config, pair)
        directions[pair] = checked(replace(config.conditions(pair), **changes))  # type: ignore[arg-type]
    return replace(config, directions=directions)


def check_pair(config: WanConfig, pair: Direction) -> None:
    """Refuse places that do not exist and a place's way to itself."""
    unknown = [name for name in pair if name not in config.places]
    if unknown:
        raise UsageError(f"no place {unknown[0]!r}; there are: {', '.join(config.places)}")
    if pair[0] == pair[1]:
        raise UsageError(f"{pair[0]!r} has no WAN to itself")


def checked(conditions: Conditions) -> Conditions:
    """Refuse conditions that mean nothing."""
    if (
        min(conditions.delay, conditions.jitter, conditions.loss, conditions.reorder, conditions.rate, conditions.queue)
        < 0
    ):
        raise UsageError("delay, jitter, loss, reorder, rate and queue are 0 or more")
    if max(conditions.loss, conditions.reorder) > 100:  # noqa: PLR2004 - percent
        raise UsageError("loss and reorder are percentages")
    if conditions.burst < 1:
        raise UsageError("burst is 1 or more")
    return conditions


def to_json(config: WanConfig) -> str:
    """Write the file's content."""
    directions = {f"{a}>{b}": asdict(conditions) for (a, b), conditions in config.directions.items()}
    return json.dumps({"seed": config.seed, "places": dict(config.places), "directions": directions}, indent=1)


def from_json(text: str) -> WanConfig:
    """Read the file's content."""
    content = json.loads(text)
    directions = {}
    for key, fields in content["directions"].items():
        a, b = re.split(">", key)
        directions[(a, b)] = Conditions(**fields)
    return WanConfig(content["places"], directions, content["seed"])


def load(path: Path) -> WanConfig:
    """Read the file; an empty WAN without one."""
    return from_json(path.read_text()) if path.exists() else WanConfig({}, {})


def save(path: Path, config: WanConfig) -> None:
    """Write the file at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(to_json(config))
    draft.replace(path)
