"""The CDN installed on the testbed's regions, as the README tells a user to: chart, samples, mesh token."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rivulet_scene.command import MEDIA, ROOT, CommandError, output
from rivulet_scene.region import MESH_PORT, NAMESPACE, PUBLIC_PORT, SYSTEM_NAMESPACE, Region, on_testbed

SAMPLES = ROOT / "samples" / "two-regions"
IMAGES = Path(os.environ.get("RIVULET_IMAGES_FILE", ROOT / ".cache" / "images.json"))


class Keys:
    """A publisher's key pair for this CDN, made on first use."""

    def __init__(self, path: Path) -> None:
        """`path`: where the private half is kept."""
        self._path = path.absolute()
        path.parent.mkdir(parents=True, exist_ok=True)

    def token(self, stream: str, subject: str = "camera-1") -> str:
        """A publish token for one stream, good for four hours."""
        return self._run("--stream", stream, "--subject", subject, "--expires", "4h")

    def public_half(self) -> str:
        """PEM text."""
        printed = self._run("--public")
        lines = [line.strip() for line in printed.splitlines()]
        return "\n".join(lines[lines.index("-----BEGIN PUBLIC KEY-----") :]) + "\n"

    def _run(self, *options: str) -> str:
        return output([MEDIA, "token", "--key", self._path, *options]).strip()


def install(region: Region, regions: Mapping[str, Region], keys: Keys) -> None:
    """The chart, then samples/two-regions for this region. Doing it again changes nothing."""
    _forget_interrupted(region)
    region.helm(
        "upgrade", "--install", "rivulet", str(ROOT / "charts" / "rivulet"), "--create-namespace",
        "--set", f"region={region.name}", *_image_settings(), "--wait", "--timeout", "3m", seconds=240,
    )  # fmt: skip
    for name in ("shared.yaml", f"{region.name}.yaml"):
        region.kubectl("apply", "-f", "-", stdin=_with_addresses((SAMPLES / name).read_text(), regions))
    trust = {"spec": {"trust": {"issuers": [{"name": "local", "publicKey": keys.public_half()}]}}}
    for name in regions:
        region.kubectl("patch", "cdnregion", name, "--type=merge", "-p", json.dumps(trust))


def _forget_interrupted(region: Region) -> None:
    """Helm refuses a release that it was making when it was killed; what it had made is taken over by the next try."""
    pending = "owner=helm,name=rivulet,status in (pending-install, pending-upgrade, pending-rollback)"
    region.kubectl("delete", "secret", "-l", pending, namespace=SYSTEM_NAMESPACE)


def join_regions(regions: Mapping[str, Region]) -> None:
    """The mesh token of each pair of regions, in both clusters. A token that is there stays."""
    for one in regions.values():
        for other in regions.values():
            if one.name < other.name and not _has_secret(one, f"mesh-{other.name}"):
                token = secrets.token_hex(32)
                _put_secret(one, f"mesh-{other.name}", token)
                _put_secret(other, f"mesh-{one.name}", token)


def _image_settings() -> list[str]:
    """The images that were built for the testbed; in other clusters the chart's own, unless a file says which."""
    if not (on_testbed() or "RIVULET_IMAGES_FILE" in os.environ):
        return []
    settings: list[str] = []
    for name, image in json.loads(IMAGES.read_text()).items():
        repository, _, tag = image["reference"].rpartition(":")
        settings += [
            "--set-string",
            f"images.{name}.repository={repository}",
            "--set-string",
            f"images.{name}.tag={tag}",
        ]
    return settings


def _with_addresses(text: str, regions: Mapping[str, Region]) -> str:
    """The samples name hosts by example; here they are the clusters' addresses."""
    for name, region in regions.items():
        text = text.replace(f"{name}.rivulet.example:{PUBLIC_PORT}", f"{region.address}:{PUBLIC_PORT}")
        text = text.replace(f"{name}.rivulet.example:{MESH_PORT}", f"{region.address}:{MESH_PORT}")
    return text


def _has_secret(region: Region, name: str) -> bool:
    try:
        region.get("secret", name)
    except CommandError:
        return False
    return True


def _put_secret(region: Region, name: str, token: str) -> None:
    secret: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "stringData": {"token": token},
    }
    region.apply(secret)
