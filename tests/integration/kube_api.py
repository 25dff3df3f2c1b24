"""A real API server without a cluster, on loopback: for tests of what the API accepts and of who may do what.

No controller, scheduler or kubelet runs: objects stay as they are written, owners' garbage is not collected, a deleted
namespace stays. ``running(folder)`` is the whole life; a process also ends with the test run that started it, however
that ends.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

import kube_processes
from rivulet_scene.ports import free_port
from rivulet_testbed import binaries, settings, versions
from rivulet_testbed.progress import Progress

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 45.0
REQUEST_SECONDS = 20.0
FIELD_MANAGER = "tests"
Document = Mapping[str, Any]


class KubeApiError(Exception):
    """The API server did not start, or said no to something that had to succeed."""


@dataclass(frozen=True)
class Answer:
    """What the API server said: the HTTP status and the parsed body (an object, a list or a Status)."""

    status: int
    body: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether it said yes."""
        return 200 <= self.status < 300

    @property
    def message(self) -> str:
        """The sentence of a refusal."""
        return str(self.body.get("message", ""))


@dataclass(frozen=True)
class KubeApi:
    """A running API server. ``token`` is cluster administrator; other identities come from ``kubeconfig_of``."""

    url: str
    folder: Path
    programs: Path
    token: str

    @property
    def authority(self) -> Path:
        """The file with the certificate that signs the server's."""
        return self.folder / "certs" / "apiserver.crt"

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig of the administrator."""
        return self.folder / "kubeconfig"

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        media_type: str = "application/json",
    ) -> Answer:
        """Make one request, as the administrator or with another token, and parse the answer."""
        context = ssl.create_default_context(cafile=str(self.authority))
        connection = http.client.HTTPSConnection(
            str(urlsplit(self.url).netloc), timeout=REQUEST_SECONDS, context=context
        )
        headers = {
            "Authorization": f"Bearer {token or self.token}",
            "Content-Type": media_type,
            "Accept": "application/json",
        }
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        return Answer(response.status, _object(text))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as the administrator and return what it printed; raise KubeApiError when it fails."""
        done = self.try_kubectl(*arguments, stdin=stdin)
        if done.returncode != 0:
            raise KubeApiError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def try_kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl where a refusal is an answer."""
        fixed = [
            str(self.programs / "kubectl"),
            f"--kubeconfig={self.kubeconfig}",
            f"--cache-dir={self.folder}/kubectl-cache",
        ]
        return subprocess.run(
            [*fixed, *arguments], input=stdin, capture_output=True, text=True, timeout=90, check=False
        )

    def apply(self, *documents: Document, namespace: str = "default") -> list[dict[str, Any]]:
        """Create or update documents by server-side apply and return them as stored; KubeApiError on a refusal."""
        text = yaml.safe_dump_all([dict(document) for document in documents])
        fixed = (
            "apply",
            "--server-side",
            "--force-conflicts",
            f"--field-manager={FIELD_MANAGER}",
            f"--namespace={namespace}",
        )
        printed = json.loads(self.kubectl(*fixed, "--output=json", "--filename=-", stdin=text))
        return list(printed["items"]) if printed["kind"] == "List" else [printed]

    def install_crds(self) -> None:
        """Apply crds/ and wait until the API server serves them."""
        self.kubectl("apply", "--server-side", f"--field-manager={FIELD_MANAGER}", f"--filename={ROOT / 'crds'}")
        paths = [f"/apis/rivulet.dev/v1alpha1/{crd.stem}" for crd in (ROOT / "crds").glob("*.yaml")]
        _wait_until(lambda: all(self.request("GET", path).ok for path in paths), "lists of every kind of crds/")

    def service_account_token(self, namespace: str, name: str) -> str:
        """Return a token of a service account, which must exist."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        answer = self.request(
            "POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        )
        if not answer.ok:
            raise KubeApiError(f"no token for {namespace}/{name}: {answer.message}")
        return str(answer.body["status"]["token"])

    def kubeconfig_of(self, namespace: str, name: str) -> Path:
        """Write a kubeconfig with which a program acts as a service account, with exactly its rights."""
        path = self.folder / f"kubeconfig-{namespace}-{name}"
        path.write_text(_kubeconfig(self.url, self.authority, self.service_account_token(namespace, name)))
        return path


def built() -> bool:
    """Whether the programs are there; else the first ``running`` builds them, which takes minutes."""
    return (binaries.folder(_cache(), versions.load()) / "complete").exists()


@contextmanager
def running(folder: Path, *, crds: bool = True) -> Iterator[KubeApi]:
    """Run etcd and kube-apiserver with all their files under ``folder``, with or without our CRDs."""
    programs = binaries.ensure(_cache(), versions.load(), Progress())
    etcd_client, etcd_peer, secure = (free_port() for _ in range(3))
    api = KubeApi(f"https://{kube_processes.HOST}:{secure}", folder, programs, secrets.token_hex(16))
    _write_credentials(api)
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(kube_processes.start(folder, kube_processes.etcd_argv(programs, folder, etcd_client, etcd_peer)))
        started.append(
            kube_processes.start(folder, kube_processes.api_server_argv(programs, folder, etcd_client, secure))
        )
        _wait_until(lambda: _ready(api, started), "the API server")
        if crds:
            api.install_crds()
        yield api
    finally:
        for process in reversed(started):
            kube_processes.stop(process)


def _cache() -> Path:
    return settings.from_environment(os.environ, None).cache


def _object(text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except ValueError:
        return {"message": text}
    return parsed if isinstance(parsed, dict) else {"message": text}


def _kubeconfig(url: str, authority: Path, token: str) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": {"server": url, "certificate-authority": str(authority)}}],
            "users": [{"name": "me", "user": {"token": token}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "current-context": "here",
        }
    )


def _write_credentials(api: KubeApi) -> None:
    folder = api.folder
    folder.mkdir(parents=True, exist_ok=True)
    key, public = folder / "service-account.key", folder / "service-account.pub"
    for argv in (["genrsa", "-out", str(key), "2048"], ["rsa", "-in", str(key), "-pubout", "-out", str(public)]):
        subprocess.run(["openssl", *argv], check=True, capture_output=True, timeout=30)
    (folder / "tokens.csv").write_text(f"{api.token},admin,admin,system:masters\n")
    api.kubeconfig.write_text(_kubeconfig(api.url, api.authority, api.token))


def _wait_until(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not check():
        if time.monotonic() > deadline:
            raise KubeApiError(f"{what}: not there after {READY_SECONDS:.0f} s")
        time.sleep(0.1)


def _ready(api: KubeApi, started: list[subprocess.Popen[bytes]]) -> bool:
    if any(process.poll() is not None for process in started):
        tail = (api.folder / "kube-apiserver.log").read_text(errors="replace").splitlines()[-15:]
        raise KubeApiError("etcd or the API server ended:\n" + "\n".join(tail))
    try:
        return api.authority.exists() and api.request("GET", "/readyz").ok
    except (OSError, http.client.HTTPException):
        return False  # it does not listen yet
