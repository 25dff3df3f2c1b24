"""Images of one static program each, written as OCI archives without any image tool; and what an archive says of itself.

Bytes depend on the inputs only, so an unchanged program keeps its digest.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

from rivulet_testbed.errors import UsageError

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
NAME_ANNOTATION = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class ArchivedImage:
    """An image in an archive: its full name and the digest of its manifest."""

    name: str
    digest: str


def write(archive: Path, name: str, program: Path) -> None:
    """Write an image with ``program`` as its only file and entry point."""
    layer = _layer(program)
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [f"/{program.name}"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(CONFIG_TYPE, config),
            "layers": [_descriptor(LAYER_TYPE, layer)],
        }
    )
    entry = {**_descriptor(MANIFEST_TYPE, manifest), "annotations": {NAME_ANNOTATION: name}}
    index = _json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]})
    _write_archive(archive, index, [layer, config, manifest])


def _write_archive(archive: Path, index: bytes, blobs: list[bytes]) -> None:
    draft = archive.with_suffix(".tmp")
    with tarfile.open(draft, "w") as tar:
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", index)
        for blob in blobs:
            _add(tar, f"blobs/sha256/{_digest(blob).removeprefix('sha256:')}", blob)
    draft.replace(archive)


def _layer(program: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _add(tar, program.name, program.read_bytes(), mode=0o755)
    return buffer.getvalue()


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
