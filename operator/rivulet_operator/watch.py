"""kopf's part: it watches, hands each event on, and answers the liveness probe. It writes nothing anywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kopf

from rivulet_operator.model import labels
from rivulet_operator.model.kinds import MADE, WATCHED, Json, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    Event = Callable[[bool, Json], None]

OUTAGE_SECONDS = 600  # so long an API server may be away, asked every second, before the operator starts afresh
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def settings() -> kopf.OperatorSettings:
    """Only what is ours, no peers, no events, and no look at the cluster's other kinds and namespaces."""
    chosen = kopf.OperatorSettings()
    chosen.peering.standalone = True
    chosen.posting.enabled = False
    chosen.scanning.disabled = True
    chosen.networking.request_timeout = 30.0
    chosen.networking.error_backoffs = (1.0,) * OUTAGE_SECONDS
    chosen.networking.connect_timeout = 5.0
    chosen.watching.connect_timeout = 5.0
    chosen.watching.server_timeout = 300
    chosen.watching.client_timeout = 330.0
    chosen.process.ultimate_exiting_timeout = 20.0
    for kind in MADE:
        chosen.watching.label_selectors[kind.group, kind.version, kind.plural] = labels.MADE_BY_US
    return chosen


def registry(event: Event, alive: Callable[[], bool]) -> kopf.OperatorRegistry:
    """Handlers that call `event(deleted, body)`, and a probe that fails when `alive` says so."""
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers)(_login)
    for kind in WATCHED:
        kopf.on.event(kind.group, kind.version, kind.plural, registry=handlers)(_handler(kind, event))
    kopf.on.probe(id="alive", registry=handlers, retries=1)(_probe(alive))
    return handlers


def _handler(kind: Kind, event: Event) -> Any:
    async def handle(**seen: Any) -> None:
        raw = seen["event"]
        event(raw["type"] == "DELETED", {"apiVersion": kind.api_version, "kind": kind.kind, **raw["object"]})

    return handle


def _probe(alive: Callable[[], bool]) -> Any:
    async def probe(**_: Any) -> str:
        if not alive():
            raise kopf.PermanentError("the reconcile loop does not tick")
        return "ticks"

    return probe


def _login(**context: Any) -> kopf.ConnectionInfo | None:
    """The pod's own account by the API server's address (needing no DNS), or the kubeconfig."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or os.environ.get("KUBECONFIG"):
        return kopf.login_with_kubeconfig(**context)
    bracketed = f"[{host}]" if ":" in host else host
    return kopf.ConnectionInfo(
        server=f"https://{bracketed}:{port}",
        ca_path=str(ACCOUNT / "ca.crt"),
        token=(ACCOUNT / "token").read_text().strip(),
    )
