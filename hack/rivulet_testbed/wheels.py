"""Wheels for the images, built on the host and cached by the content of their inputs."""

import os
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rivulet_testbed.command import run, run_logged
from rivulet_testbed.errors import UsageError
from rivulet_testbed.progress import Progress
from rivulet_testbed.source_tree import content_key, source_files

CONSTRAINTS = "hack/constraints.txt"
PROJECT_FILES = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
BOTH_PACKAGES = ("operator/rivulet_operator", "mediaserver/rivulet_media", "mediaserver/engine")
WHEEL_SECONDS = 1800.0


@dataclass(frozen=True)
class Wheelhouse:
    """Builds wheels of one snapshot of the sources into one cache."""

    checkout: Path
    cache: Path
    versions: Mapping[str, str]
    progress: Progress

    def requirements(self, extra: str) -> list[str]:
        """Return what pyproject.toml says an extra needs, and the pip that will install it."""
        project = tomllib.loads((self.checkout / "pyproject.toml").read_text())["project"]
        extras = project["optional-dependencies"]
        if extra not in extras:
            raise UsageError(f"pyproject.toml has no extra {extra!r}")
        return [*project.get("dependencies", []), *extras[extra], f"pip=={self.versions['PIP_VERSION']}"]

    def dependency_key(self, extra: str) -> str:
        """Return the content hash of an extra's dependencies."""
        return content_key(self.checkout, [Path(CONSTRAINTS)], *self.requirements(extra))

    def dependencies(self, extra: str) -> Path:
        """Return a folder with the wheels of everything that an extra needs."""
        target = self.cache / "wheels" / f"{extra}-{self.dependency_key(extra)}"
        if target.exists():
            return target
        self.progress(f"{extra}: wheels of the dependencies (once per change of them)")
        constraints = ["--constraint", str(self.checkout / CONSTRAINTS)]
        self._pip_wheel(target, [*constraints, *self.requirements(extra)], f"wheels-{extra}")
        return target

    def project(self) -> Path:
        """Return a folder with the project's own wheel."""
        files = source_files(self.checkout, (*PROJECT_FILES, *BOTH_PACKAGES))
        target = self.cache / "wheels" / f"project-{content_key(self.checkout, files)}"
        if target.exists():
            return target
        self.progress("project: wheel with the engine (a change costs its compilation)")
        self._pip_wheel(target, ["--no-deps", str(self.checkout)], "wheel-project")
        for old in target.parent.glob("project-*"):
            if old != target:
                shutil.rmtree(old, ignore_errors=True)
        return target

    def _pip_wheel(self, target: Path, arguments: list[str], log: str) -> None:
        draft = target.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        argv = ["nice", "-n", "5", self._python(), "-m", "pip", "wheel", "--wheel-dir", str(draft), *arguments]
        env = {**os.environ, "CARGO_TARGET_DIR": str(self.cache / "cargo")}
        run_logged(argv, self.cache / "logs" / f"{log}.log", seconds=WHEEL_SECONDS, env=env)
        draft.rename(target)

    def _python(self) -> str:
        """Return a Python of ours with pip, so that nothing depends on the caller's environment."""
        venv = self.cache / "build-venv"
        if not (venv / "bin" / "pip").exists():
            run(["/usr/bin/python3", "-m", "venv", "--clear", str(venv)], seconds=120)
        return str(venv / "bin" / "python")
