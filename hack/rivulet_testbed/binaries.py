"""The programs built from Go modules, cached by the content of their build inputs."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rivulet_testbed.allocation import file_lock
from rivulet_testbed.command import run_logged
from rivulet_testbed.progress import Progress

MODULE = Path(__file__).resolve().parent / "programs"
BUILD_SECONDS = 1800.0
KEY_LENGTH = 12


@dataclass(frozen=True)
class GoTool:
    """A package to build; ``programs``: the names that it goes by, its own first."""

    package: str
    programs: tuple[str, ...]
    ldflags: str = "-s -w"

    @property
    def name(self) -> str:
        """The file that the build makes."""
        return self.programs[0]


def tools(versions: Mapping[str, str]) -> tuple[GoTool, ...]:
    """List what the testbed builds."""
    kubernetes = versions["KUBERNETES_VERSION"]
    major, minor, _ = kubernetes.split(".")
    stamp = "k8s.io/component-base/version"
    stamps = f"-X {stamp}.gitVersion=v{kubernetes} -X {stamp}.gitMajor={major} -X {stamp}.gitMinor={minor}"
    names = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
    helm = f"-X helm.sh/helm/v3/internal/version.version=v{versions['HELM_VERSION']}"
    return (
        GoTool("./kubernetes", ("kubernetes", *names), f"-s -w {stamps}"),
        GoTool("go.etcd.io/etcd/server/v3", ("etcd",)),
        GoTool("./coredns", ("coredns",)),
        GoTool("helm.sh/helm/v3/cmd/helm", ("helm",), f"-s -w {helm}"),
    )


def build_key(tool: GoTool, inputs: Mapping[str, bytes]) -> str:
    """Return the content hash of one tool: the module's files, its package, names and flags."""
    digest = hashlib.sha256(repr(tool).encode())
    for name in sorted(inputs):
        digest.update(name.encode() + b"\0" + inputs[name] + b"\0")
    return digest.hexdigest()[:KEY_LENGTH]


def _key_of(tool: GoTool) -> str:
    files = [path for path in MODULE.rglob("*") if path.is_file()]
    return build_key(tool, {str(path.relative_to(MODULE)): path.read_bytes() for path in files})


def folder(cache: Path, versions: Mapping[str, str]) -> Path:
    """Return the folder with all programs of these versions (built or not)."""
    keys = "".join(_key_of(tool) for tool in tools(versions))
    return cache / "bin" / hashlib.sha256(keys.encode()).hexdigest()[:KEY_LENGTH]


def ensure_tool(cache: Path, versions: Mapping[str, str], name: str, progress: Progress) -> Path:
    """Build one tool if it is missing and return the folder with its programs: for those that need no cluster."""
    tool = next(tool for tool in tools(versions) if tool.name == name)
    target = _tool_folder(cache, tool)
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with file_lock(cache / "build.lock", BUILD_SECONDS, progress):
        return _build_once(cache, tool, progress)


def ensure(cache: Path, versions: Mapping[str, str], progress: Progress) -> Path:
    """Build what is missing and return the folder with all programs."""
    binaries = folder(cache, versions)
    if (binaries / "complete").exists():
        return binaries
    cache.mkdir(parents=True, exist_ok=True)
    with file_lock(cache / "build.lock", BUILD_SECONDS, progress):
        binaries.mkdir(parents=True, exist_ok=True)
        for tool in tools(versions):
            built = _build_once(cache, tool, progress)
            for program in tool.programs:
                _link(binaries / program, built / program)
        (binaries / "complete").touch()
    return binaries


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _tool_folder(cache: Path, tool: GoTool) -> Path:
    return cache / "go" / f"{tool.name}-{_key_of(tool)}"


def _build_once(cache: Path, tool: GoTool, progress: Progress) -> Path:
    target = _tool_folder(cache, tool)
    if target.exists():
        return target
    progress(f"building {tool.name} from Go modules (once; minutes)")
    draft = target.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    _go_build(tool, draft / tool.name, cache)
    for program in tool.programs[1:]:
        _link(draft / program, Path(tool.name))
    draft.rename(target)
    progress(f"built {tool.name}")
    return target


def _go_build(tool: GoTool, output: Path, cache: Path) -> None:
    # Linking leaves out what debuggers read: nor is it compiled.
    flags = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false")
    argv = ["nice", "-n", "5", "go", "build", *flags]
    run_logged(
        [*argv, "-ldflags", tool.ldflags, "-o", str(output), tool.package],
        cache / "logs" / f"go-{tool.name}.log",
        seconds=BUILD_SECONDS,
        cwd=MODULE,
        env={**os.environ, "CGO_ENABLED": "0"},
    )
