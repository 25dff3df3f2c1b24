"""The Kubernetes API as the operator uses it: a few verbs on plain objects, each with a time limit."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from rivulet_operator.errors import Conflict, Misconfigured, NotYet, Refused, Unreachable
from rivulet_operator.model import labels
from rivulet_operator.model.kinds import DEPLOYMENT, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rivulet_operator.model.kinds import Json, Kind

REQUEST_SECONDS = 10.0
CONTENT_TYPE = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
LATER = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT})


@dataclass(frozen=True, kw_only=True)
class _Request:
    method: str
    path: str
    query: Mapping[str, str] | None = None
    body: Json | None = None
    content_type: str = CONTENT_TYPE
    accept: str = CONTENT_TYPE


async def connect() -> client.ApiClient:
    """A client with the pod's own rights, or those of the kubeconfig.

    Raises:
        Misconfigured: neither can be read.
    """
    configuration = client.Configuration()
    untyped: Any = config
    try:
        if os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("KUBECONFIG"):
            untyped.load_incluster_config(client_configuration=configuration)
        else:
            await untyped.load_kube_config(client_configuration=configuration)
    except (config.ConfigException, OSError) as error:
        raise Misconfigured(f"no way to the API server: {error}") from error
    return client.ApiClient(configuration)


def pod_namespace() -> str | None:
    """The namespace of the operator's own pod; None outside of a cluster."""
    file = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    return file.read_text().strip() if file.exists() else None


class Api:
    """One client for everything. All methods raise NotYet (try later) or Refused (the server says no)."""

    def __init__(self, http: client.ApiClient) -> None:
        """`http` is closed by whoever made it."""
        self._http = http

    async def list(self, kind: Kind, namespace: str, selector: str = "") -> list[Json]:
        """All objects of a kind; items carry their kind as single objects do."""
        query = {"labelSelector": selector} if selector else None
        answer = await self._ask(_Request(method="GET", path=path(kind, namespace), query=query))
        return [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in answer["items"]]

    async def get(self, kind: Kind, namespace: str, name: str) -> Json | None:
        """One object; None if there is none."""
        return await self._found(_Request(method="GET", path=path(kind, namespace, name)))

    async def exists(self, kind: Kind, namespace: str, name: str) -> bool:
        """Whether there is such an object; its content is not read."""
        request = _Request(method="GET", path=path(kind, namespace, name), accept=METADATA_ONLY)
        return await self._found(request) is not None

    async def apply(self, body: Json, manager: str = labels.OPERATOR, subresource: str = "") -> Json:
        """Server-side apply with force: these fields are ours. A `resourceVersion` in it is a precondition."""
        metadata = body["metadata"]
        where = path(kind_of(body), metadata["namespace"], metadata["name"], subresource)
        query = {"fieldManager": manager, "force": "true"}
        return await self._ask(_Request(method="PATCH", path=where, query=query, body=body, content_type=APPLY))

    async def create(self, body: Json) -> Json:
        """Make an object that does not exist; Conflict if it does."""
        where = path(kind_of(body), body["metadata"]["namespace"])
        return await self._ask(_Request(method="POST", path=where, query={"fieldManager": labels.OPERATOR}, body=body))

    async def replace(self, body: Json) -> Json:
        """Write a whole object; Conflict if its resourceVersion is not the current one."""
        where = path(kind_of(body), body["metadata"]["namespace"], body["metadata"]["name"])
        return await self._ask(_Request(method="PUT", path=where, query={"fieldManager": labels.OPERATOR}, body=body))

    async def merge(self, kind: Kind, namespace: str, name: str, body: Json) -> Json:
        """Merge patch: the one way to take away what another has set."""
        where = path(kind, namespace, name)
        query = {"fieldManager": labels.OPERATOR}
        return await self._ask(_Request(method="PATCH", path=where, query=query, body=body, content_type=MERGE))

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete that very object, if it is there. A Deployment stands until its pods have ended: it has their port."""
        propagation = "Foreground" if kind == DEPLOYMENT else "Background"
        body = {"propagationPolicy": propagation, "preconditions": {"uid": uid}}
        await self._found(_Request(method="DELETE", path=path(kind, namespace, name), body=body))

    async def _found(self, request: _Request) -> Json | None:
        try:
            return await self._ask(request)
        except Refused as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def _ask(self, request: _Request) -> Json:
        try:
            answer = await self._send(request)
        except ApiException as error:
            raise _failure(error.status or 0, str(error.reason)) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{request.method} {request.path}: {error or type(error).__name__}") from error
        status, text = answer
        if status >= HTTPStatus.BAD_REQUEST:
            raise _failure(status, _message(text))
        parsed: Json = json.loads(text)
        return parsed

    async def _send(self, request: _Request) -> tuple[int, str]:
        query = f"?{urlencode(request.query)}" if request.query else ""
        headers = {"Content-Type": request.content_type, "Accept": request.accept}
        await self._http.update_params_for_auth(
            headers, [], ["BearerToken"], request.path, request.method, request.body
        )
        response: Any = await self._http.call_api(
            request.method,
            f"{self._http.configuration.host}{request.path}{query}",
            header_params=headers,
            body=request.body,
            _request_timeout=REQUEST_SECONDS,
        )
        data = await response.read()
        return int(response.status), (data or b"").decode()


def path(kind: Kind, namespace: str, name: str = "", subresource: str = "") -> str:
    """Where the API serves an object, or all of a kind."""
    base = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
    scope = f"/namespaces/{quote(namespace)}" if kind.namespaced else ""
    tail = "".join(f"/{quote(part)}" for part in (name, subresource) if part)
    return f"{base}{scope}/{kind.plural}{tail}"


def _message(text: str) -> str:
    try:
        return str(json.loads(text).get("message", text))
    except (ValueError, AttributeError):
        return text


def _failure(status: int, message: str) -> NotYet | Refused:
    if status == HTTPStatus.CONFLICT:
        return Conflict(message)
    if status in LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR or not status:
        return Unreachable(message)
    return Refused(status, message)
