"""Images of one layer, written as OCI archives without any image tool; and what an archive says of itself.

Bytes depend on the inputs only, so an unchanged program keeps its digest.
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rivulet_testbed.errors import UsageError

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
EPOCH = "1970-01-01T00:00:00Z"
NAME_ANNOTATION = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class ArchivedImage:
    """An image in an archive: its full name and the digest of its manifest."""

    name: str
    digest: str


def write_program(archive: Path, name: str, program: Path) -> None:
    """Write an image with ``program`` as its only file and entry point."""
    layer = archive.with_suffix(".layer")
    with tarfile.open(layer, "w") as tar:
        _add(tar, program.name, program.read_bytes(), mode=0o755)
    write(archive, name, layer, {"Entrypoint": [f"/{program.name}"]})


def write(archive: Path, name: str, layer: Path, settings: Mapping[str, object]) -> None:
    """Write an image of one layer (a tar file, which is used up) with the settings of an OCI configuration."""
    layer_digest = _file_digest(layer)
    config = _json(
        {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
            # One entry per layer: buildah refuses to build on an image without.
            "history": [{"created": EPOCH, "created_by": name}],
        }
    )
    layer_descriptor = {"mediaType": LAYER_TYPE, "digest": layer_digest, "size": layer.stat().st_size}
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(CONFIG_TYPE, config),
            "layers": [layer_descriptor],
        }
    )
    entry = {**_descriptor(MANIFEST_TYPE, manifest), "annotations": {NAME_ANNOTATION: name}}
    index = _json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]})
    draft = archive.with_suffix(".draft")
    with tarfile.open(draft, "w") as tar:
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", index)
        for blob in (config, manifest):
            _add(tar, _blob_path(_digest(blob)), blob)
        _add_file(tar, _blob_path(layer_digest), layer)
    layer.unlink()
    draft.replace(archive)


def _blob_path(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _add_file(tar: tarfile.TarFile, name: str, path: Path) -> None:
    member = tarfile.TarInfo(name)
    member.size = path.stat().st_size
    with path.open("rb") as content:
        tar.addfile(member, content)


def _file_digest(path: Path) -> str:
    with path.open("rb") as content:
        return f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = mode
    tar.addfile(member, io.BytesIO(content))


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def describe(archive: Path) -> list[ArchivedImage]:
    """Return the images in an archive, by its index; a member of another kind of archive is a usage error."""
    try:
        with tarfile.open(archive) as tar:
            member = tar.extractfile("index.json")
            index = json.loads(member.read()) if member else {}
    except (KeyError, tarfile.TarError, FileNotFoundError) as reason:
        raise UsageError(f"{archive} is not an OCI archive: {reason}") from reason
    return parse_index(index, str(archive))


def parse_index(index: dict[str, list[dict[str, object]]], archive: str) -> list[ArchivedImage]:
    """Read names and digests from an archive's index."""
    images = []
    for manifest in index.get("manifests", []):
        annotations = manifest.get("annotations")
        name = annotations.get(NAME_ANNOTATION) if isinstance(annotations, dict) else None
        if not name:
            raise UsageError(f"{archive}: an image without a name (annotation {NAME_ANNOTATION})")
        images.append(ArchivedImage(str(name), str(manifest["digest"])))
    return images
