"""Keys and certificates of one region, made by openssl. The plan is pure."""

from dataclasses import dataclass
from pathlib import Path

from rivulet_testbed.command import run
from rivulet_testbed.places import API_SERVICE_IP, Place

DAYS = "825"
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """One certificate to issue: its file name, its subject and the names that it answers to."""

    name: str
    subject: str
    alternatives: tuple[str, ...] = ()


def node_certificate(node: str) -> str:
    """Return the file name of a node's certificate."""
    return f"node-{node}"


def certificates(place: Place) -> list[Certificate]:
    """List what a region needs: one server, and one client per user that the API server tells apart."""
    server = place.nodes[0].address
    names = (
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
    )
    addresses = ("127.0.0.1", server, API_SERVICE_IP)
    fixed = [
        Certificate("apiserver", "/CN=kube-apiserver", (*(f"DNS:{n}" for n in names), *(f"IP:{a}" for a in addresses))),
        Certificate("apiserver-kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
        Certificate("front-proxy", "/CN=aggregator"),
        Certificate("admin", "/O=system:masters/CN=admin"),
        Certificate("controller-manager", "/CN=system:kube-controller-manager"),
        Certificate("scheduler", "/CN=system:kube-scheduler"),
        Certificate("proxy", "/CN=system:kube-proxy"),
    ]
    return fixed + [
        Certificate(
            node_certificate(node.name),
            f"/O=system:nodes/CN=system:node:{node.name}",
            (f"DNS:{node.name}", f"IP:{node.address}"),
        )
        for node in place.nodes
    ]


def authority_argv(folder: Path) -> list[str]:
    """Return the command that makes the region's certificate authority."""
    return [
        *("openssl", "req", "-x509", *CURVE, "-days", DAYS, "-subj", "/CN=rivulet-testbed"),
        *("-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.crt")),
    ]


def certificate_argv(folder: Path, certificate: Certificate) -> list[str]:
    """Return the command that issues one certificate."""
    extensions = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth,clientAuth"]
    if certificate.alternatives:
        extensions += ["-addext", f"subjectAltName={','.join(certificate.alternatives)}"]
    return [
        *("openssl", "req", "-x509", *CURVE, "-days", DAYS, "-subj", certificate.subject),
        *("-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"), *extensions),
        *("-keyout", str(folder / f"{certificate.name}.key"), "-out", str(folder / f"{certificate.name}.crt")),
    ]


def issue(folder: Path, place: Place) -> None:
    """Make whatever is missing; a set that was begun and not ended is begun anew."""
    complete = folder / "complete"
    if complete.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    run(authority_argv(folder))
    for certificate in certificates(place):
        run(certificate_argv(folder, certificate))
    run(["openssl", "genrsa", "-out", str(folder / "service-account.key"), "2048"])
    run(
        [
            "openssl",
            "rsa",
            "-in",
            str(folder / "service-account.key"),
            "-pubout",
            "-out",
            str(folder / "service-account.pub"),
        ]
    )
    complete.touch()


def pem(folder: Path, name: str) -> dict[str, bytes]:
    """Read a client's certificate, key and authority."""
    return {
        "ca": (folder / "ca.crt").read_bytes(),
        "crt": (folder / f"{name}.crt").read_bytes(),
        "key": (folder / f"{name}.key").read_bytes(),
    }
