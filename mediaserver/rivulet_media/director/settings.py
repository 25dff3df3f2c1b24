"""What a director is told at its start: flags, else environment. Read once."""

import argparse
import contextlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rivulet_media.errors import SettingsError
from rivulet_media.listening import ANY, ANY_IPV4, everywhere

DNS_SCHEME = "dns://"
# RFC 5737, RFC 3849.
_SOMEBODY = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a director. `siblings`: URLs of internal listeners, or one `dns://name:port`."""

    region: str
    namespace: str
    cluster: str
    bind: str
    public_port: int
    internal_port: int
    ip: str
    siblings: tuple[str, ...]
    join_token: str
    operator_token: str
    turn_secret: str
    state_dir: Path | None
    file: Path | None
    log_level: str

    @property
    def url(self) -> str:
        """Where nodes and siblings reach this director."""
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"http://{host}:{self.internal_port}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Every setting as a flag; the default is the environment variable of docs/contract.md §10."""
    parser.add_argument("--region", help="the region's name (RIVULET_REGION)")
    parser.add_argument("--namespace", help="namespace of the CDN's resources (RIVULET_NAMESPACE)")
    parser.add_argument("--cluster-id", help="id of the cluster (RIVULET_CLUSTER_ID; default: the region's name)")
    parser.add_argument(
        "--bind", help="address that both listeners bind (RIVULET_BIND; ::, which is IPv4 too, or 0.0.0.0 without IPv6)"
    )
    parser.add_argument("--public-port", type=int, help="port of the front door (RIVULET_PUBLIC_PORT; 8080)")
    parser.add_argument("--internal-port", type=int, help="port for nodes and directors (RIVULET_INTERNAL_PORT; 7443)")
    parser.add_argument("--pod-ip", help="address at which nodes reach this director (RIVULET_POD_IP)")
    parser.add_argument("--sibling", action="append", help="URL of another director of the region, or dns://name:port")
    parser.add_argument("--join-token", help="token of the region's nodes (or RIVULET_JOIN_TOKEN_FILE)")
    parser.add_argument("--join-token-file", help="file with it")
    parser.add_argument("--operator-token", help="token of the operator (or RIVULET_OPERATOR_TOKEN_FILE)")
    parser.add_argument("--operator-token-file", help="file with it")
    parser.add_argument("--turn-secret", help="secret shared with coturn (or RIVULET_TURN_SECRET_FILE)")
    parser.add_argument("--turn-secret-file", help="file with it")
    parser.add_argument("--state-dir", help="where the last copy of the resources is kept (RIVULET_STATE_DIR)")
    parser.add_argument("--file", help="resources from this YAML file instead of Kubernetes")
    parser.add_argument("--log-level", help="debug, info, warning or error (RIVULET_LOG_LEVEL; info)")


def from_arguments(args: argparse.Namespace, environment: Mapping[str, str] | None = None) -> Settings:
    """Flags first, then the environment. Raises SettingsError."""
    read = _Reader(args, os.environ if environment is None else environment)
    region = read.text("region", "RIVULET_REGION")
    if not region:
        raise SettingsError("no region: say --region NAME or set RIVULET_REGION")
    state_dir, file = read.text("state_dir", "RIVULET_STATE_DIR"), read.text("file", "")
    join_token = read.secret("join_token", "RIVULET_JOIN_TOKEN_FILE")
    if not join_token:
        raise SettingsError("no join token: say --join-token or --join-token-file")
    bind = read.text("bind", "RIVULET_BIND") or everywhere()
    siblings = args.sibling or read.text("siblings", "RIVULET_SIBLINGS").replace(",", " ").split()
    return Settings(
        region=region,
        namespace=read.text("namespace", "RIVULET_NAMESPACE", "default"),
        cluster=read.text("cluster_id", "RIVULET_CLUSTER_ID", region),
        bind=bind,
        public_port=read.port("public_port", "RIVULET_PUBLIC_PORT", 8080),
        internal_port=read.port("internal_port", "RIVULET_INTERNAL_PORT", 7443),
        ip=read.text("pod_ip", "RIVULET_POD_IP") or _own_address(bind),
        siblings=tuple(siblings),
        join_token=join_token,
        operator_token=read.secret("operator_token", "RIVULET_OPERATOR_TOKEN_FILE"),
        turn_secret=read.secret("turn_secret", "RIVULET_TURN_SECRET_FILE"),
        state_dir=Path(state_dir) if state_dir else None,
        file=Path(file) if file else None,
        log_level=read.text("log_level", "RIVULET_LOG_LEVEL", "info"),
    )


@dataclass(frozen=True)
class _Reader:
    args: argparse.Namespace
    environment: Mapping[str, str]

    def text(self, flag: str, variable: str, default: str = "") -> str:
        given = getattr(self.args, flag, None)
        return str(given) if given is not None else self.environment.get(variable) or default

    def port(self, flag: str, variable: str, default: int) -> int:
        text = self.text(flag, variable, str(default))
        if not text.isdecimal() or not 0 < int(text) < 65536:  # noqa: PLR2004
            raise SettingsError(f"{variable} must be a port number, not {text!r}")
        return int(text)

    def secret(self, flag: str, variable: str) -> str:
        given = getattr(self.args, flag, None)
        if given:
            return str(given)
        name = self.text(f"{flag}_file", variable)
        if not name:
            return ""
        try:
            return Path(name).read_text().strip()
        except OSError as error:
            raise SettingsError(f"cannot read {name}: {error.strerror}") from error


def _own_address(bind: str) -> str:
    """The address that is bound; when that is all of them, the one with the default route (no packet is sent)."""
    if bind not in (ANY, ANY_IPV4):
        return bind
    for family, somebody in _SOMEBODY:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((somebody, 9))
            return str(probe.getsockname()[0])
    return "127.0.0.1"
