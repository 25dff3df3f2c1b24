import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rivulet_testbed import image_build, versions
from rivulet_testbed.image_build import MEDIA, OPERATOR, Workshop
from rivulet_testbed.progress import Progress
from rivulet_testbed.wheels import Wheelhouse

PYPROJECT = """
[project]
name = "x"
[project.optional-dependencies]
operator = ["kopf"]
media = ["av"]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    files = {
        "pyproject.toml": PYPROJECT,
        "hack/constraints.txt": "av==1\n",
        "operator/rivulet_operator/main.py": "",
        "mediaserver/rivulet_media/main.py": "",
        "mediaserver/engine/Cargo.toml": "",
        **{name: name for name in ("MANIFEST.in", "README.md", "LICENSE", OPERATOR.dockerfile, MEDIA.dockerfile)},
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def tags(checkout: Path) -> tuple[str, str]:
    workshop = Workshop(Wheelhouse(checkout, checkout / "cache", versions.load(), Progress()))
    return workshop.tag(OPERATOR), workshop.tag(MEDIA)


@pytest.mark.parametrize(
    ("edited", "operator_changes", "media_changes"),
    [
        ("operator/rivulet_operator/main.py", True, False),
        ("mediaserver/rivulet_media/main.py", False, True),
        ("mediaserver/engine/Cargo.toml", False, True),
        ("mediaserver/Dockerfile", False, True),
        ("hack/constraints.txt", True, True),
        ("docs/x.md", False, False),
    ],
)
def test_an_image_gets_a_new_tag_when_and_only_when_its_inputs_change(
    checkout: Path, edited: str, *, operator_changes: bool, media_changes: bool
) -> None:
    before = tags(checkout)
    (checkout / edited).parent.mkdir(exist_ok=True)
    (checkout / edited).write_text("edited")
    after = tags(checkout)
    assert (before[0] != after[0], before[1] != after[1]) == (operator_changes, media_changes)


def test_the_same_sources_elsewhere_have_the_same_tag(checkout: Path, tmp_path: Path) -> None:
    shutil.copytree(checkout, tmp_path / "copy", ignore=shutil.ignore_patterns("copy", "cache"))
    assert tags(checkout) == tags(tmp_path / "copy")


def test_an_extra_needs_its_own_requirements_and_the_pip_that_installs_them(checkout: Path) -> None:
    house = Wheelhouse(checkout, checkout / "cache", {"PIP_VERSION": "1.2"}, Progress())
    assert house.requirements("media") == ["av", "pip==1.2"]
    assert house.dependency_key("media") != house.dependency_key("operator")
    assert house.dependency_key("media") != replace(house, versions={"PIP_VERSION": "1.3"}).dependency_key("media")


def test_every_recipe_is_named_as_its_extra() -> None:
    assert [recipe.name for recipe in image_build.RECIPES] == ["operator", "media"]
