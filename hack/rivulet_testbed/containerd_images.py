"""Loading image archives into the containerd of a node."""

from pathlib import Path

from rivulet_testbed import oci_archive
from rivulet_testbed.command import attempt, run
from rivulet_testbed.oci_archive import ArchivedImage

IMPORT_SECONDS = 300.0
NAMESPACE = "k8s.io"


def parse_listing(listing: str) -> set[ArchivedImage]:
    """Parse ``ctr images ls``: a head line, then lines of name, type, digest and more."""
    rows = [line.split() for line in listing.splitlines()[1:]]
    return {ArchivedImage(row[0], row[2]) for row in rows if len(row) > 2}  # noqa: PLR2004 - the third column is the digest


def answers(socket: Path) -> bool:
    """Tell whether containerd is up."""
    return attempt(["ctr", "--address", str(socket), "version"]).returncode == 0


def load(socket: Path, archive: Path) -> list[str]:
    """Import an archive unless all of its images are there with the same digest; return the names of new ones."""
    wanted = oci_archive.describe(archive)
    present = parse_listing(_ctr(socket, "images", "ls"))
    if set(wanted) <= present:
        return []
    _ctr(socket, "images", "import", "--all-platforms", str(archive))
    return [image.name for image in wanted if image not in present]


def _ctr(socket: Path, *arguments: str) -> str:
    return run(["ctr", "--address", str(socket), "--namespace", NAMESPACE, *arguments], seconds=IMPORT_SECONDS)
