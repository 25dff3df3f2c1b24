"""The small pure parts of the shell: what counts as standing, what the cache keeps, what is written when."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from rivulet_operator.api import path
from rivulet_operator.apply import covers
from rivulet_operator.cache import Cache
from rivulet_operator.errors import Misconfigured
from rivulet_operator.model.kinds import CDN_NODE, DEPLOYMENT, HOST, POD
from rivulet_operator.model.slot import parse_pod
from rivulet_operator.settings import from_environment
from rivulet_operator.status import without_counts

VARIABLES = {
    "RIVULET_REGION": "eu",
    "RIVULET_NAMESPACE": "cdn",
    "RIVULET_MEDIA_IMAGE": "media:1",
    "RIVULET_COTURN_IMAGE": "coturn:1",
}


def _pod(name: str, version: int, uid: str = "u", created: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    metadata = {"name": name, "uid": uid, "resourceVersion": str(version), "creationTimestamp": created}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


@pytest.mark.parametrize(
    ("live", "wanted", "stands"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": [{"x": 1, "default": 0}]}, {"a": [{"x": 1}]}, True),
        ({"a": [{"x": 1}, {"x": 2}]}, {"a": [{"x": 1}]}, False),
        ({"a": None}, {"a": {}}, False),
    ],
    ids=["more is said", "less is said", "defaults in lists", "a longer list", "nothing for something"],
)
def test_what_is_wanted_stands_when_the_live_object_says_no_less(*, live: Any, wanted: Any, stands: bool) -> None:
    assert covers(live, wanted) is stands


def test_the_cache_keeps_the_newest_whichever_way_it_comes() -> None:
    cache = Cache()
    cache.put(_pod("p", 10))
    cache.put(_pod("p", 9))
    assert cache.get(POD, "p") == _pod("p", 10)
    cache.put(_pod("p", 3, uid="new", created="2026-01-02T00:00:00Z"))
    cache.drop(_pod("p", 11))
    assert cache.get(POD, "p") == _pod("p", 3, uid="new", created="2026-01-02T00:00:00Z")


def test_a_list_tells_what_a_watch_has_missed() -> None:
    cache = Cache()
    for name in ("stays", "gone"):
        cache.put(_pod(name, 1))
    before = cache.versions(POD)
    cache.put(_pod("made meanwhile", 2))
    cache.listed(POD, [_pod("stays", 1)], before)
    assert [body["metadata"]["name"] for body in cache.all(POD)] == ["made meanwhile", "stays"]


def test_numbers_are_told_apart_from_changes_of_state() -> None:
    status = {"viewers": 3, "slots": [{"name": "a", "sessions": 3, "state": "up"}], "sessions": 3}
    assert without_counts(status) == {"slots": [{"name": "a", "state": "up"}]}


def test_urls_of_the_api() -> None:
    assert path(POD, "cdn", "p") == "/api/v1/namespaces/cdn/pods/p"
    assert path(DEPLOYMENT, "cdn") == "/apis/apps/v1/namespaces/cdn/deployments"
    assert path(CDN_NODE, "cdn", "n", "status") == "/apis/rivulet.dev/v1alpha1/namespaces/cdn/cdnnodes/n/status"
    assert path(HOST, "cdn") == "/api/v1/nodes"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"RIVULET_REGION": ""}, "RIVULET_REGION is not set"),
        ({"RIVULET_REGION": "EU"}, "DNS label"),
        ({"RIVULET_MEDIA_IMAGE": ""}, "RIVULET_MEDIA_IMAGE is not set"),
        ({"RIVULET_LOG_LEVEL": "loud"}, "choose one of"),
        ({"RIVULET_PROBE_PORT": "x"}, "a port is a number"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused_with_advice(changes: dict[str, str], says: str) -> None:
    with pytest.raises(Misconfigured, match=says):
        from_environment({**VARIABLES, **changes}, None)


def test_the_lease_stands_in_the_operators_own_namespace() -> None:
    assert from_environment(VARIABLES, "rivulet-system").own_namespace == "rivulet-system"
    assert from_environment(VARIABLES, None).own_namespace == "cdn"


def test_a_pod_that_was_never_scheduled_or_pulled_says_why() -> None:
    spec = {"containers": [{"ports": [{"hostPort": 7000}]}]}
    unscheduled = {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]}
    waiting = {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}]}
    troubles = [
        parse_pod({"metadata": {"name": "p"}, "spec": spec, "status": s}).trouble for s in (unscheduled, waiting)
    ]
    assert troubles == ["0/1 nodes are available", "ErrImagePull: no such image"]


def test_the_log_holds_no_health_checks() -> None:
    lines = (
        "import logging",
        "from rivulet_operator.main import _log_to_stderr",
        "_log_to_stderr('INFO')",
        "logging.getLogger('aiohttp.access').info('GET /healthz')",
        "logging.getLogger('rivulet_operator.reconcile').info('a pod was made')",
    )
    ran = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], check=True, capture_output=True, text=True, timeout=30
    )
    assert [json.loads(line)["message"] for line in ran.stderr.splitlines()] == ["a pod was made"]
