"""Resources from the Kubernetes API, read-only: one list and watch per kind, Secrets by name.

What was heard last stays when the API is gone. A deletion is believed only from a complete list or a watch event.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import ClientError
from kubernetes.aio import client, config, watch
from kubernetes.aio.client.exceptions import ApiException

from rivulet_media.director.resources import MESH_PREFIX, Document, parse_documents

log = logging.getLogger(__name__)

GROUP, VERSION = "rivulet.dev", "v1alpha1"
KINDS: Mapping[str, str] = {"CDNRegion": "cdnregions", "CDNNode": "cdnnodes", "Stream": "streams"}
LIST_SECONDS = 10.0
WATCH_SECONDS = 240
# A watch that is cut without a word would look like a quiet one: the server ends it first.
WATCH_GRACE_SECONDS = 15.0
SECRETS_SECONDS = 10.0
RETRY_SECONDS = 1.0
NOT_FOUND = 404

_FAULTS = (ApiException, ClientError, OSError, TimeoutError, ValueError)


class ResourceWatch:
    """Follows the three kinds of one namespace and the Secrets that they name; calls `changed` with all documents."""

    def __init__(self, namespace: str, own_region: str, changed: Callable[[list[Document]], None]) -> None:
        self._namespace = namespace
        self._own_region = own_region
        self._changed = changed
        self._objects: dict[str, dict[str, Document]] = {}
        self._secrets: dict[str, Document] = {}
        self._secrets_asked = False

    async def run(self) -> None:
        """For ever; an API that is away is asked again every second."""
        await _load_configuration()
        async with client.ApiClient() as api, asyncio.TaskGroup() as tasks:
            for kind, plural in KINDS.items():
                tasks.create_task(self._follow(kind, plural, client.CustomObjectsApi(api)))
            tasks.create_task(self._follow_secrets(client.CoreV1Api(api)))

    async def _follow(self, kind: str, plural: str, api: Any) -> None:
        while True:
            try:
                version = await self._list(kind, plural, api)
                await self._watch(kind, plural, api, version)
            except _FAULTS as error:
                log.info("%s: the API does not answer well: %s", plural, _short(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _list(self, kind: str, plural: str, api: Any) -> str:
        listed = await asyncio.wait_for(
            api.list_namespaced_custom_object(GROUP, VERSION, self._namespace, plural, _request_timeout=LIST_SECONDS),
            2 * LIST_SECONDS,
        )
        self._objects[kind] = {_name(item): {**item, "kind": kind} for item in listed["items"]}
        self._tell()
        return str(listed["metadata"]["resourceVersion"])

    async def _watch(self, kind: str, plural: str, api: Any, version: str) -> None:
        """Follow from `version` until a watch ends in error; the caller lists again."""
        while True:
            async with watch.Watch() as events:  # type: ignore[no-untyped-call]
                stream = events.stream(
                    api.list_namespaced_custom_object,
                    GROUP,
                    VERSION,
                    self._namespace,
                    plural,
                    resource_version=version,
                    timeout_seconds=WATCH_SECONDS,
                    allow_watch_bookmarks=True,
                    _request_timeout=WATCH_SECONDS + WATCH_GRACE_SECONDS,
                )
                async for event in stream:
                    version = str(event["raw_object"]["metadata"]["resourceVersion"])
                    self._take(kind, event["type"], event["raw_object"])

    def _take(self, kind: str, happened: str, item: dict[str, Any]) -> None:
        objects = self._objects[kind]
        if happened == "DELETED":
            objects.pop(_name(item), None)
        elif happened in ("ADDED", "MODIFIED"):
            objects[_name(item)] = {**item, "kind": kind}
        else:
            return
        self._tell()

    async def _follow_secrets(self, api: Any) -> None:
        """The Role allows these Secrets by name only, so they are asked for, not listed."""
        while True:
            for name in sorted(self._wanted_secrets()):
                await self._ask_secret(api, name)
            self._secrets_asked = self._objects.keys() == KINDS.keys()
            self._tell()
            await asyncio.sleep(SECRETS_SECONDS if self._secrets_asked else RETRY_SECONDS)

    def _wanted_secrets(self) -> set[str]:
        """Those of the mesh, and those that the region's Streams name for what is pulled."""
        mesh = {MESH_PREFIX + name for name in self._objects.get("CDNRegion", {}) if name != self._own_region}
        streams = parse_documents(self._objects.get("Stream", {}).values(), fresh=True).resources.streams.values()
        pulls = (stream.spec.source.pull for stream in streams if stream.region == self._own_region)
        return mesh | {pull.secret_ref.name for pull in pulls if pull is not None and pull.secret_ref is not None}

    async def _ask_secret(self, api: Any, name: str) -> None:
        try:
            found = await asyncio.wait_for(
                api.read_namespaced_secret(name, self._namespace, _request_timeout=LIST_SECONDS), 2 * LIST_SECONDS
            )
        except ApiException as error:
            if error.status == NOT_FOUND:
                self._secrets.pop(name, None)
            else:
                log.info("secret %s: %s", name, _short(error))
        except _FAULTS as error:
            log.info("secret %s: %s", name, _short(error))
        else:
            self._secrets[name] = {"kind": "Secret", "metadata": {"name": name}, "data": dict(found.data or {})}

    def _tell(self) -> None:
        """Only when every kind was listed once: half a picture would look like deletions."""
        if self._objects.keys() == KINDS.keys() and self._secrets_asked:
            kinds = (item for objects in self._objects.values() for _, item in sorted(objects.items()))
            self._changed([*kinds, *(item for _, item in sorted(self._secrets.items()))])


async def _load_configuration() -> None:
    try:
        config.load_incluster_config()  # type: ignore[no-untyped-call]
    except config.ConfigException:
        await config.load_kube_config()  # type: ignore[no-untyped-call]


def _name(item: Mapping[str, Any]) -> str:
    return str(item["metadata"]["name"])


def _short(error: BaseException) -> str:
    if isinstance(error, ApiException):
        return f"{error.status} {error.reason}"
    return str(error) or type(error).__name__
