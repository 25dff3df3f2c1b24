"""etcd and kube-apiserver as processes on loopback: their command lines, their start and their end."""

from __future__ import annotations

import subprocess
from pathlib import Path

HOST = "127.0.0.1"
STOP_SECONDS = 10.0


def etcd_argv(programs: Path, folder: Path, client: int, peer: int) -> list[str]:
    """Return etcd's command line; nobody mourns its data, so it need not wait for the disk."""
    client_url, peer_url = f"http://{HOST}:{client}", f"http://{HOST}:{peer}"
    return [
        *(str(programs / "etcd"), f"--data-dir={folder}/etcd", "--unsafe-no-fsync", "--log-level=warn"),
        *(f"--listen-client-urls={client_url}", f"--advertise-client-urls={client_url}"),
        *(
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
        ),
    ]


def api_server_argv(programs: Path, folder: Path, etcd: int, secure: int) -> list[str]:
    """Return the API server's command line; its certificates, keys and tokens are under the folder."""
    return [
        *(str(programs / "kube-apiserver"), f"--etcd-servers=http://{HOST}:{etcd}", f"--secure-port={secure}"),
        *(f"--bind-address={HOST}", f"--advertise-address={HOST}", "--endpoint-reconciler-type=none"),
        *(f"--cert-dir={folder}/certs", f"--token-auth-file={folder}/tokens.csv", "--authorization-mode=RBAC"),
        *(
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder}/service-account.pub",
        ),
        *(
            f"--service-account-signing-key-file={folder}/service-account.key",
            "--service-cluster-ip-range=10.96.0.0/16",
        ),
        *("--profiling=false", "--shutdown-delay-duration=0s"),
    ]


def start(folder: Path, argv: list[str]) -> subprocess.Popen[bytes]:
    """Start a program with its log under the folder; it ends with the test run, however that ends."""
    log = folder / f"{Path(argv[0]).name}.log"
    with log.open("wb") as output:  # setpriv: should the test run be killed, this goes too
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *argv], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a program, and wait for its end."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)
