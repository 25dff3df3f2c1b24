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

HERE = Path(__file__).resolve().parent
BUILD_SECONDS = 1800.0
KEY_LENGTH = 12


@dataclass(frozen=True)
class GoTool:
    """One tools module (a folder ``tools-NAME`` with go.mod and go.sum) and the packages to build from it."""

    name: str
    packages: tuple[str, ...]
    ldflags: str

    @property
    def programs(self) -> tuple[str, ...]:
        """The file names that the build makes."""
        return tuple(program_name(package) for package in self.packages)


def program_name(package: str) -> str:
    """Return the file name of a package's program: its last part, but etcd for ``…/server/v3``."""
    if package.startswith("go.etcd.io/etcd/server"):
        return "etcd"
    return package.rpartition("/")[2]


def tools(versions: Mapping[str, str]) -> tuple[GoTool, ...]:
    """List what the testbed builds."""
    kubernetes = versions["KUBERNETES_VERSION"]
    major, minor, _ = kubernetes.split(".")
    stamp = "k8s.io/component-base/version"
    stamps = f"-X {stamp}.gitVersion=v{kubernetes} -X {stamp}.gitMajor={major} -X {stamp}.gitMinor={minor}"
    names = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
    return (
        GoTool("kube", tuple(f"k8s.io/kubernetes/cmd/{name}" for name in names), f"-s -w {stamps}"),
        GoTool("etcd", ("go.etcd.io/etcd/server/v3",), "-s -w"),
        GoTool("coredns", ("github.com/coredns/coredns",), "-s -w"),
        GoTool(
            "helm",
            ("helm.sh/helm/v3/cmd/helm",),
            f"-s -w -X helm.sh/helm/v3/internal/version.version=v{versions['HELM_VERSION']}",
        ),
    )


def build_key(tool: GoTool, inputs: Mapping[str, bytes]) -> str:
    """Return the content hash of one tool: its module's files, packages and flags."""
    digest = hashlib.sha256(repr((tool.name, tool.packages, tool.ldflags)).encode())
    for name in sorted(inputs):
        digest.update(name.encode() + b"\0" + inputs[name] + b"\0")
    return digest.hexdigest()[:KEY_LENGTH]


def _key_of(tool: GoTool) -> str:
    module = HERE / f"tools-{tool.name}"
    return build_key(tool, {name: (module / name).read_bytes() for name in ("go.mod", "go.sum", "tools.go")})


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
    progress(f"building {', '.join(tool.programs)} from Go modules (once; minutes)")
    draft = target.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for package in tool.packages if len(tool.packages) == 1 else ():
        _go_build(tool, str(draft / program_name(package)), cache)
    if len(tool.packages) > 1:
        _go_build(tool, f"{draft}/", cache)
    draft.rename(target)
    progress(f"built {', '.join(tool.programs)}")
    return target


def _go_build(tool: GoTool, output: str, cache: Path) -> None:
    argv = ["nice", "-n", "5", "go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false"]
    run_logged(
        [*argv, "-ldflags", tool.ldflags, "-o", output, *tool.packages],
        cache / "logs" / f"go-{tool.name}.log",
        seconds=BUILD_SECONDS,
        cwd=HERE / f"tools-{tool.name}",
        env={**os.environ, "CGO_ENABLED": "0"},
    )
