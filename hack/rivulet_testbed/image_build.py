"""The project's images: which inputs make which tag, and buildah for those whose tag is new."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from rivulet_testbed import rootfs
from rivulet_testbed.command import attempt, run_logged
from rivulet_testbed.source_tree import content_key, mirror, source_files
from rivulet_testbed.wheels import BOTH_PACKAGES, CONSTRAINTS, PROJECT_FILES, Wheelhouse

BUILD_SECONDS = 900.0
REPOSITORY = "localhost/rivulet"


@dataclass(frozen=True)
class Recipe:
    """One image with a Dockerfile: its extra in pyproject.toml and the sources that change it."""

    name: str
    dockerfile: str
    sources: tuple[str, ...]


OPERATOR = Recipe("operator", "operator/Dockerfile", ("operator/rivulet_operator",))
MEDIA = Recipe("media", "mediaserver/Dockerfile", ("mediaserver/rivulet_media", "mediaserver/engine"))
RECIPES = (OPERATOR, MEDIA)


def snapshot(checkout: Path, target: Path) -> Path:
    """Copy all that goes into images: what is edited meanwhile goes into the next ones, not into half of these."""
    dockerfiles = [recipe.dockerfile for recipe in RECIPES]
    mirror(checkout, source_files(checkout, (*PROJECT_FILES, *BOTH_PACKAGES, CONSTRAINTS, *dockerfiles)), target)
    return target


@dataclass(frozen=True)
class Built:
    """An image that is there: its reference and its OCI archive."""

    reference: str
    archive: Path


@dataclass(frozen=True)
class Workshop:
    """Builds images from one snapshot of the sources; one at a time may use a cache."""

    wheelhouse: Wheelhouse

    @property
    def _images(self) -> Path:
        return self.wheelhouse.cache / "images"

    def tag(self, recipe: Recipe) -> str:
        """Return the content hash of all that goes into an image."""
        checkout = self.wheelhouse.checkout
        files = source_files(checkout, (recipe.dockerfile, *PROJECT_FILES, *recipe.sources))
        base = rootfs.BASE.reference(self.wheelhouse.versions["DEBIAN_SUITE"])
        return content_key(checkout, files, base, self.wheelhouse.dependency_key(recipe.name))

    def build(self, recipe: Recipe) -> Built:
        """Return the image, built now if its tag is new."""
        self._images.mkdir(parents=True, exist_ok=True)
        built = self._named(recipe)
        if not built.archive.exists():
            self._build(recipe, built)
        return built

    def _named(self, recipe: Recipe) -> Built:
        tag = self.tag(recipe)
        return Built(f"{REPOSITORY}/{recipe.name}:{tag}", self._images / f"{recipe.name}-{tag}.tar")

    def coturn(self) -> Built:
        """Return Debian's coturn."""
        return self._root_file_system(rootfs.COTURN)

    def _root_file_system(self, wanted: rootfs.RootFileSystem) -> Built:
        house = self.wheelhouse
        archive = rootfs.ensure(house.cache, house.versions, wanted, house.progress)
        return Built(wanted.reference(house.versions["DEBIAN_SUITE"]), archive)

    def context(self, recipe: Recipe, target: Path) -> None:
        """Write a build context that Docker takes as it is: Dockerfile, dependencies/ and project/."""
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        shutil.copy(self.wheelhouse.checkout / recipe.dockerfile, target / "Dockerfile")
        shutil.copytree(self.wheelhouse.dependencies(recipe.name), target / "dependencies")
        shutil.copytree(self.wheelhouse.project(), target / "project")

    def _build(self, recipe: Recipe, built: Built) -> None:
        base = self._root_file_system(rootfs.BASE)
        context = self.wheelhouse.cache / "draft" / f"context-{recipe.name}"
        self.context(recipe, context)
        self.wheelhouse.progress(f"{recipe.name}: building {built.reference}")
        draft = built.archive.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        build = ["build", "--layers", "--build-arg", f"BASE=oci-archive:{base.archive}", "--tag", built.reference]
        self._buildah(recipe, [*build, str(context)])
        self._buildah(
            recipe, ["push", "--compression-level", "1", built.reference, f"oci-archive:{draft}:{built.reference}"]
        )
        draft.rename(built.archive)
        self._remove_old(recipe, built)
        self.wheelhouse.progress(f"{recipe.name}: built, {built.archive.stat().st_size / 1e6:.0f} MB")

    def _buildah(self, recipe: Recipe, arguments: list[str]) -> None:
        log = self.wheelhouse.cache / "logs" / f"image-{recipe.name}-{arguments[0]}.log"
        env = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
        run_logged(["nice", "-n", "5", *self._store_argv(), *arguments], log, seconds=BUILD_SECONDS, env=env)

    def _store_argv(self) -> list[str]:
        """Return buildah with a store of our own: the user's images are not ours to touch."""
        store = self.wheelhouse.cache / "buildah"
        runtime = f"/run/rivulet-buildah-{hashlib.sha256(str(store).encode()).hexdigest()[:8]}"
        return ["buildah", "--root", str(store), "--runroot", runtime, "--storage-driver", "overlay"]

    def _remove_old(self, recipe: Recipe, built: Built) -> None:
        """Forget earlier builds of this image; the layers that the new one shares stay."""
        for archive in self._images.glob(f"{recipe.name}-*.tar"):
            if archive != built.archive:
                archive.unlink()
        listing = attempt([*self._store_argv(), "images", "--format", "{{.Name}}:{{.Tag}}"]).stdout
        for reference in listing.split():
            if reference.startswith(f"{REPOSITORY}/{recipe.name}:") and reference != built.reference:
                attempt([*self._store_argv(), "rmi", reference])
