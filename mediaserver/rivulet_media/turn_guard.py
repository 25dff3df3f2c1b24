"""`rivulet-media turn-guard`: lets coturn relay to this region's media pods and to nothing else.

coturn denies every peer by its configuration; a row in its database's table `allowed_peer_ip` overrides that. It reads
the table again by itself every few seconds, so a new pod is reachable without a restart. This sidecar
- writes turnserver.conf and an empty database before coturn starts (`--render`, an init container), and then
- keeps the rows equal to what the region's directors say (docs/contract.md, `/v1/turn-peers`).
Silence is no instruction: while no director answers, the last rows stay.
"""

import argparse
import asyncio
import ipaddress
import json
import os
import signal
import sqlite3
import sys
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

EVERY_SECONDS: Final = 1.0
REQUEST_SECONDS: Final = 3.0
_EVERYBODY: Final = ("0.0.0.0-255.255.255.255", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")


class NoAnswerError(Exception):
    """The directors cannot say now who may be relayed to."""


@dataclass(frozen=True, slots=True)
class TurnServer:
    """What turnserver.conf is made from. `relay_ip` None: coturn finds the pod's address."""

    secret: str
    realm: str
    database: Path
    relay_ip: str | None = None
    port: int = 3478
    relay_ports: tuple[int, int] = (49152, 65535)


def render(server: TurnServer) -> str:
    """turnserver.conf: UDP and TCP towards clients, UDP towards peers, short-lived credentials, nobody allowed."""
    lines = [
        f"listening-port={server.port}",
        "no-tls",
        "no-dtls",
        "no-tcp-relay",
        "no-multicast-peers",
        "no-cli",
        "fingerprint",
        "use-auth-secret",
        f"static-auth-secret={server.secret}",
        f"realm={server.realm}",
        f"userdb={server.database}",
        f"min-port={server.relay_ports[0]}",
        f"max-port={server.relay_ports[1]}",
        "stale-nonce=600",
        "pidfile=/tmp/turnserver.pid",  # beside the database the only writable place of the pod
        "log-file=stdout",
        "simple-log",
        "verbose",  # one line per allocation, permission and session
        *(f"denied-peer-ip={every}" for every in _EVERYBODY),
    ]
    if server.relay_ip is not None:
        lines += [f"listening-ip={server.relay_ip}", f"relay-ip={server.relay_ip}"]
    return "\n".join(lines) + "\n"


class AllowedPeers:
    """The rows of coturn's `allowed_peer_ip` for one realm, over one connection; `with` closes it.

    coturn reads the database with every login and refuses who comes while it is locked. So it is in WAL mode, where who
    reads waits for nobody, and the connection stays open: only the last one to close locks readers out once more.
    """

    def __init__(self, database: Path, realm: str) -> None:
        self._database = database
        self._realm = realm
        self._connection = sqlite3.connect(database, timeout=2.0)

    def create(self) -> None:
        """Make the database and the table, where they are not there yet; coturn adds its other tables itself."""
        self._connection.execute("PRAGMA journal_mode = WAL")
        with self._connection as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS allowed_peer_ip"
                " (realm varchar(127) DEFAULT '', ip_range varchar(256), PRIMARY KEY (realm, ip_range))"
            )
        self._database.chmod(0o660)  # coturn may run as another user of the same group

    def read(self) -> frozenset[str]:
        """The addresses that are allowed now."""
        rows = self._connection.execute("SELECT ip_range FROM allowed_peer_ip WHERE realm = ?", (self._realm,))
        return frozenset(row[0] for row in rows)

    def write(self, peers: frozenset[str]) -> bool:
        """Make the rows equal to `peers`, in one transaction; whether anything had to be changed."""
        present = self.read()
        if present == peers:
            return False
        with self._connection as connection:
            connection.executemany(
                "DELETE FROM allowed_peer_ip WHERE realm = ? AND ip_range = ?",
                [(self._realm, address) for address in present - peers],
            )
            connection.executemany(
                "INSERT INTO allowed_peer_ip (realm, ip_range) VALUES (?, ?)",
                [(self._realm, address) for address in peers - present],
            )
        return True

    def __enter__(self) -> Self:
        """The rows themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._connection.close()


def parse_peers(answer: Any) -> frozenset[str]:
    """The addresses of a `/v1/turn-peers` answer. Raises NoAnswerError where it is not what the contract says."""
    peers = answer.get("peers") if isinstance(answer, dict) else None
    if not isinstance(peers, list) or not all(isinstance(peer, str) for peer in peers):
        raise NoAnswerError("the answer has no list of texts `peers`")
    try:
        return frozenset(str(ipaddress.ip_address(peer)) for peer in peers)
    except ValueError as error:
        raise NoAnswerError(f"`peers`: {error}") from error


async def ask(http: aiohttp.ClientSession, entry: str, token: str) -> frozenset[str]:
    """The pods that may be relayed to, from whichever director `entry` leads to. Raises NoAnswerError."""
    try:
        async with http.get(
            f"{entry.rstrip('/')}/v1/turn-peers",
            headers={"Authorization": f"Bearer {token}"},
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
        ) as response:
            if response.status != HTTPStatus.OK:
                raise NoAnswerError(f"{response.status} from {entry}")
            return parse_peers(await response.json(content_type=None))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise NoAnswerError(f"{entry}: {error or 'time-out'}") from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-command's options; the environment's names stand in docs/contract.md §10."""
    env = os.environ.get
    parser.add_argument("--render", action="store_true", help="write turnserver.conf and an empty database, then end")
    parser.add_argument(
        "--config", type=Path, default=Path(env("RIVULET_TURN_CONFIG", "/var/lib/coturn/turnserver.conf"))
    )
    parser.add_argument("--database", type=Path, default=Path(env("RIVULET_TURN_DATABASE", "/var/lib/coturn/turndb")))
    parser.add_argument("--secret-file", type=Path, default=_path(env("RIVULET_TURN_SECRET_FILE")))
    parser.add_argument("--realm", default=env("RIVULET_TURN_REALM", "rivulet"))
    parser.add_argument("--relay-ip", default=env("RIVULET_POD_IP"), help="the address to listen on and to relay from")
    parser.add_argument("--port", type=int, default=int(env("RIVULET_TURN_PORT", "3478")))
    parser.add_argument("--min-port", type=int, default=int(env("RIVULET_TURN_MIN_PORT", "49152")))
    parser.add_argument("--max-port", type=int, default=int(env("RIVULET_TURN_MAX_PORT", "65535")))
    parser.add_argument("--entry", default=env("RIVULET_ENTRY"), help="the directors' internal address")
    parser.add_argument("--join-token-file", type=Path, default=_path(env("RIVULET_JOIN_TOKEN_FILE")))


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def run(args: argparse.Namespace) -> int:
    """Render, or guard until told to stop. Exit status 2: a setting is missing."""
    needed = ("secret_file",) if args.render else ("entry", "join_token_file")
    missing = [f"--{name.replace('_', '-')}" for name in needed if getattr(args, name) is None]
    if missing:
        sys.stderr.write(f"rivulet-media turn-guard: missing: {', '.join(missing)}\n")
        return 2
    if args.render:
        _render_files(args)
        return 0
    return asyncio.run(_guard(args))


def _render_files(args: argparse.Namespace) -> None:
    secret = _text(args.secret_file)
    relay_ports = (args.min_port, args.max_port)
    server = TurnServer(secret, args.realm, args.database, args.relay_ip or None, args.port, relay_ports)
    args.config.touch(mode=0o640)  # it holds the secret
    args.config.write_text(render(server))
    with AllowedPeers(args.database, args.realm) as peers:
        peers.create()


async def _guard(args: argparse.Namespace) -> int:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    with AllowedPeers(args.database, args.realm) as peers:
        peers.create()
        async with aiohttp.ClientSession() as http:
            await _keep_equal(peers, http, args, stopped)
    return 0


async def _keep_equal(
    peers: AllowedPeers, http: aiohttp.ClientSession, args: argparse.Namespace, stopped: asyncio.Event
) -> None:
    complaint = ""
    while not stopped.is_set():
        try:
            allowed = await ask(http, args.entry, _text(args.join_token_file))
            if peers.write(allowed):
                _log("the list of peers has changed", peers=sorted(allowed))
            complaint = ""
        except (NoAnswerError, sqlite3.Error, OSError) as error:
            if str(error) != complaint:  # once per cause, not once per second
                complaint = str(error)
                _log("the last list of peers stays", why=complaint)
        await _pause(stopped)


def _text(path: Path) -> str:
    return path.read_text().strip()


async def _pause(stopped: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stopped.wait(), EVERY_SECONDS)
    except TimeoutError:
        return


def _log(message: str, **details: Any) -> None:
    sys.stderr.write(json.dumps({"message": message, "component": "turn-guard", **details}) + "\n")
    sys.stderr.flush()
