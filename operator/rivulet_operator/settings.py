"""The operator's environment, read once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rivulet_operator.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Mapping

REGION = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an install says once. `namespace` is that of the CDN; the Lease lives in `own_namespace`."""

    region: str
    namespace: str
    own_namespace: str
    identity: str
    media_image: str
    coturn_image: str
    log_level: str = "INFO"
    probe_port: int = 8081


def from_environment(environment: Mapping[str, str], own_namespace: str | None) -> Settings:
    """Settings from the variables of docs/contract.md §10; `own_namespace` is that of the operator's pod, if any.

    Raises:
        Misconfigured: a variable is missing or malformed.
    """
    region = _required(environment, "RIVULET_REGION")
    if not REGION.fullmatch(region):
        raise Misconfigured(f"RIVULET_REGION is {region!r}: a region is a DNS label of ≤ 32 characters, such as eu")
    namespace = _required(environment, "RIVULET_NAMESPACE")
    level = environment.get("RIVULET_LOG_LEVEL", "INFO").upper()
    if level not in LEVELS:
        raise Misconfigured(f"RIVULET_LOG_LEVEL is {level!r}: choose one of {', '.join(LEVELS)}")
    return Settings(
        region=region,
        namespace=namespace,
        own_namespace=own_namespace or namespace,
        identity=environment.get("HOSTNAME") or "operator",
        media_image=_required(environment, "RIVULET_MEDIA_IMAGE"),
        coturn_image=_required(environment, "RIVULET_COTURN_IMAGE"),
        log_level=level,
        probe_port=_port(environment.get("RIVULET_PROBE_PORT", "8081")),
    )


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise Misconfigured(f"{name} is not set: the chart sets it; by hand, export it before rivulet-operator")
    return value


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise Misconfigured(f"RIVULET_PROBE_PORT is {text!r}: a port is a number from 1 to 65535")
    return int(text)
