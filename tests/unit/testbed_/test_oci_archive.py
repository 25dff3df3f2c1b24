import tarfile
from pathlib import Path

import pytest

from rivulet_testbed import containerd_images, oci_archive
from rivulet_testbed.errors import UsageError
from rivulet_testbed.oci_archive import ArchivedImage


def archive_of(tmp_path: Path, name: str, content: bytes) -> Path:
    program = tmp_path / "prog"
    program.write_bytes(content)
    archive = tmp_path / f"{name}.tar"
    oci_archive.write_program(archive, f"localhost/x/{name}:1", program)
    return archive


def test_the_same_program_has_the_same_digest_and_another_has_another(tmp_path: Path) -> None:
    first = oci_archive.describe(archive_of(tmp_path, "a", b"one"))
    again = oci_archive.describe(archive_of(tmp_path, "a", b"one"))
    other = oci_archive.describe(archive_of(tmp_path, "a", b"two"))
    assert first == again
    assert first[0].digest != other[0].digest
    assert first[0].name == "localhost/x/a:1"


def test_every_blob_is_there_under_its_digest_and_no_draft_is_left(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, "a", b"one")
    with tarfile.open(archive) as tar:
        blobs = [name for name in tar.getnames() if name.startswith("blobs/")]
    assert len(blobs) == 3
    assert oci_archive.describe(archive)[0].digest.removeprefix("sha256:") in {
        blob.rpartition("/")[2] for blob in blobs
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "prog"]


def test_something_else_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello")
    with pytest.raises(UsageError, match="not an OCI archive"):
        oci_archive.describe(tmp_path / "x")
    with pytest.raises(UsageError, match="without a name"):
        oci_archive.parse_index({"manifests": [{"digest": "sha256:1"}]}, "x")


def test_an_image_counts_as_present_only_with_its_digest() -> None:
    listing = (
        "REF TYPE DIGEST SIZE PLATFORMS LABELS\n"
        "localhost/x/a:1 application/vnd.oci.image.manifest.v1+json sha256:11 1.0 MiB linux/amd64 -\n"
    )
    assert containerd_images.parse_listing(listing) == {ArchivedImage("localhost/x/a:1", "sha256:11")}
