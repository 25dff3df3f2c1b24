from pathlib import Path

import pytest

from rivulet_testbed import wan_config
from rivulet_testbed.errors import UsageError
from rivulet_testbed.wan_config import WanConfig
from rivulet_testbed.wan_model import Conditions

CONFIG = WanConfig({"eu": 0, "us": 1, "nsk": 2}, {})


@pytest.mark.parametrize(
    ("pair", "one_way"),
    [(("eu", "us"), 42.0), (("us", "eu"), 42.0), (("nsk", "eu"), 45.0), (("us", "nsk"), 85.0), (("sg", "eu"), 91.5)],
)
def test_the_default_is_half_the_known_round_trip_each_way(pair: tuple[str, str], one_way: float) -> None:
    assert CONFIG.conditions(pair) == Conditions(delay=one_way)


def test_a_change_keeps_what_it_does_not_name_and_the_other_direction() -> None:
    changed = wan_config.with_changes(CONFIG, [("eu", "us")], {"loss": 3.0})
    assert changed.conditions(("eu", "us")) == Conditions(delay=42.0, loss=3.0)
    assert changed.conditions(("us", "eu")) == Conditions(delay=42.0)


def test_cut_and_heal_come_back_to_the_same_conditions() -> None:
    shaped = wan_config.with_changes(CONFIG, [("eu", "us")], {"rate": 2.0})
    healed = wan_config.with_changes(
        wan_config.with_changes(shaped, [("eu", "us")], {"cut": True}), [("eu", "us")], {"cut": False}
    )
    assert healed == shaped


@pytest.mark.parametrize(
    ("pair", "changes"),
    [
        (("eu", "mars"), {}),
        (("eu", "eu"), {}),
        (("eu", "us"), {"delay": -1.0}),
        (("eu", "us"), {"loss": 101.0}),
        (("eu", "us"), {"burst": 0.5}),
    ],
    ids=["unknown place", "to itself", "negative delay", "more than all lost", "less than a packet in a row"],
)
def test_conditions_that_mean_nothing_are_refused(pair: tuple[str, str], changes: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        wan_config.with_changes(CONFIG, [pair], changes)


@pytest.mark.parametrize("preset", sorted(wan_config.PRESETS))
def test_a_preset_sets_every_direction(preset: str) -> None:
    config = wan_config.with_preset(CONFIG, preset)
    assert set(config.directions) == set(CONFIG.all_directions())
    assert len(config.directions) == 6


def test_a_place_that_is_gone_takes_its_conditions_along() -> None:
    shaped = wan_config.with_changes(CONFIG, [("eu", "nsk"), ("eu", "us")], {"loss": 1.0})
    assert set(wan_config.with_places(shaped, {"eu": 0, "us": 1}).directions) == {("eu", "us")}


def test_the_file_holds_everything(tmp_path: Path) -> None:
    config = wan_config.with_changes(CONFIG, [("eu", "us")], {"rate": 5.0, "cut": True})
    wan_config.save(tmp_path / "config.json", config)
    assert wan_config.load(tmp_path / "config.json") == config
    assert wan_config.load(tmp_path / "none.json") == WanConfig({}, {})
