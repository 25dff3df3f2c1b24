"""The command line of hack/images."""

import argparse
import json
import os
import sys
from pathlib import Path

from rivulet_testbed import image_build, packages, settings, versions
from rivulet_testbed.allocation import file_lock
from rivulet_testbed.errors import TestbedError
from rivulet_testbed.image_build import Built, Workshop
from rivulet_testbed.progress import Progress
from rivulet_testbed.wheels import Wheelhouse

CHECKOUT = Path(__file__).resolve().parents[2]
COTURN = "coturn"
LOCK_SECONDS = 3600.0


def main(argv: list[str]) -> int:
    """Build images and print their references (with --json: one line of JSON)."""
    options = _parse(argv)
    progress = Progress()
    cache = settings.from_environment(os.environ, None).cache
    try:
        packages.ensure(packages.IMAGES, cache / "logs" / "apt.log", progress)
        with file_lock(cache / "images.lock", LOCK_SECONDS, progress):
            sources = image_build.snapshot(CHECKOUT, cache / "draft" / "sources")
            workshop = Workshop(Wheelhouse(sources, cache, versions.load(), progress))
            if options.context:
                _write_contexts(workshop, options.context)
                return 0
            built = {name: _build(workshop, name) for name in options.images}
    except TestbedError as failure:
        sys.stderr.write(f"images: {failure}\n")
        return 1
    sys.stdout.write(_render(built, as_json=options.json))
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    names = [*(recipe.name for recipe in image_build.RECIPES), COTURN]
    parser = argparse.ArgumentParser(prog="hack/images", description="Builds the project's images without a registry.")
    parser.add_argument("images", nargs="*", help=f"which (default: all of {', '.join(names)})")
    parser.add_argument(
        "--json", action="store_true", help='print {"NAME": {"reference": …, "archive": …}} as one line'
    )
    parser.add_argument(
        "--context", type=Path, metavar="DIR", help="only write build contexts for docker build into DIR/NAME"
    )
    options = parser.parse_args(argv)
    options.images = options.images or names
    unknown = sorted(set(options.images) - set(names))
    if unknown:
        parser.error(f"no image {unknown[0]!r}; there are: {', '.join(names)}")
    return options


def _build(workshop: Workshop, name: str) -> Built:
    if name == COTURN:
        return workshop.coturn()
    return workshop.build(next(recipe for recipe in image_build.RECIPES if recipe.name == name))


def _write_contexts(workshop: Workshop, folder: Path) -> None:
    for recipe in image_build.RECIPES:
        workshop.context(recipe, folder / recipe.name)
        sys.stdout.write(f"docker build -t rivulet-{recipe.name} {folder / recipe.name}\n")


def _render(built: dict[str, Built], *, as_json: bool) -> str:
    if as_json:
        content = {name: {"reference": image.reference, "archive": str(image.archive)} for name, image in built.items()}
        return json.dumps(content) + "\n"
    return "".join(f"{image.reference}  {image.archive}\n" for image in built.values())
