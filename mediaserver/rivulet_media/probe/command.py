"""`rivulet-media play URL`: play by WHEP, decode everything, print what was seen as JSON.

Latency is the time of decoding here minus the wall clock stamped into the picture there: across machines both clocks
must be synchronised (NTP, PTP); on one machine they are one. Lip-sync is on the sender's clock and needs no such thing.
`longest_stall_ms`: for how long this program itself did not run at most; gaps that are no longer may be its own.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from typing import Any, Final

import aiohttp

from rivulet_media.peer import NotConnectedError, Peer
from rivulet_media.probe.figures import Stalls
from rivulet_media.probe.viewer import Kind, Viewer
from rivulet_media.whip_client import ExitCode, Session, SignallingError, WhipClient

_TURN_SECONDS: Final = 0.02
_END_SECONDS: Final = 1.0  # how long the server may take to say why it ended a session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-command's options."""
    parser.add_argument("url", help="WHEP endpoint, for instance http://HOST:8080/whep/STREAM")
    parser.add_argument("--token", help="play token, where playing is not public")
    parser.add_argument(
        "--duration", type=float, metavar="S", help="watch for S seconds (default: until the stream ends)"
    )
    parser.add_argument("--frames", type=int, metavar="N", help="stop after N pictures (sounds, if there are none)")
    parser.add_argument("--until-ended", action="store_true", help="fail unless the stream ends within --duration")
    parser.add_argument(
        "--warm-up",
        type=float,
        default=2,
        metavar="S",
        help="leave the first S seconds out of latency, lip-sync and screen (2)",
    )
    parser.add_argument(
        "--playout-delay",
        type=float,
        metavar="MS",
        help="tell as 'screen' what a viewer sees whose pictures wait for MS ms, so that repairs come in time",
    )
    parser.add_argument("--wait", type=float, default=0, metavar="S", help="try again for S seconds on 409 and 503")
    parser.add_argument("--relay-only", action="store_true", help="use the TURN server's candidates only")
    parser.add_argument("--turn-transport", choices=("udp", "tcp"), help="which TURN server of those named in Link")
    parser.add_argument("--no-ice-servers", action="store_true", help="ignore the servers named in Link")
    parser.add_argument("--progress", action="store_true", help="print a JSON line every second")
    parser.add_argument("--json", action="store_true", help="print the final result as one line (default: indented)")


def run(args: argparse.Namespace) -> int:
    """Play; returns an ExitCode."""
    try:
        return asyncio.run(_play(args))
    except SignallingError as error:
        print(f"rivulet-media play: {error}", file=sys.stderr)
        return error.exit_code
    except NotConnectedError as error:
        print(f"rivulet-media play: {error}", file=sys.stderr)
        return ExitCode.NO_MEDIA


async def _play(args: argparse.Namespace) -> int:
    started = time.monotonic()
    stopped = _stop_signals()
    peer = Peer(relay_only=args.relay_only, turn_transport=args.turn_transport, use_link=not args.no_ice_servers)
    delay = None if args.playout_delay is None else args.playout_delay / 1000
    viewer = Viewer(peer.connection, started=started, warm_up=args.warm_up, playout_delay=delay)
    async with aiohttp.ClientSession() as http:
        client = WhipClient(http, args.url, args.token)
        session = await peer.negotiate(client, patience=args.wait)
        try:
            await peer.connected()
            connected_ms = round((time.monotonic() - started) * 1000, 1)
            promised, pair = _promised(peer), _pair(peer)
            if args.progress:
                _say_connected(session, connected_ms)
            stalls = Stalls(_TURN_SECONDS)
            reason = await _watch(args, viewer, promised, (stopped, peer.over), stalls)
            result = {"connected_ms": connected_ms, **viewer.figures(promised), "pair": _pair(peer) or pair}
            result["longest_stall_ms"] = round(stalls.longest * 1000)
            if reason == "peer-closed":
                reason = await _why(client, session)
        finally:
            deleted = await client.end(session)
            await peer.close()
            await viewer.close()
    result["ended"] = reason
    result["deleted"] = deleted
    result["session"] = str(session.url)
    print(json.dumps(result, indent=None if args.json else 2), flush=True)
    return _verdict(args, viewer, promised, reason)


def _say_connected(session: Session, connected_ms: float) -> None:
    print(json.dumps({"event": "connected", "session": str(session.url), "connected_ms": connected_ms}), flush=True)


async def _watch(
    args: argparse.Namespace,
    viewer: Viewer,
    promised: tuple[Kind, ...],
    ends: tuple[asyncio.Event, asyncio.Event],
    stalls: Stalls,
) -> str:
    """Watch until the first reason to stop."""
    stopped, over = ends
    counted = viewer.arrivals["video" if "video" in promised else "audio"]
    begun = last_line = time.monotonic()
    while True:
        now = time.monotonic()
        stalls.turn(now)
        if stopped.is_set():
            return "signal"
        if over.is_set() or viewer.finished():
            return "peer-closed"
        if args.frames is not None and counted.frames >= args.frames:
            return "frames"
        if args.duration is not None and now - begun >= args.duration:
            return "duration"
        if args.progress and now - last_line >= 1.0:
            last_line = now
            print(
                json.dumps({"event": "progress", "at": round(now - begun, 1), **viewer.figures(promised)}), flush=True
            )
        await asyncio.sleep(_TURN_SECONDS)


async def _why(client: WhipClient, session: Session) -> str:
    """The server's reason; asked a few times, since the media's end may come before the session's."""
    for _ in range(5):
        reason = await client.reason_of_end(session)
        if reason is not None:
            return reason
        await asyncio.sleep(_END_SECONDS / 5)
    return "peer-closed"


def _verdict(args: argparse.Namespace, viewer: Viewer, promised: tuple[Kind, ...], reason: str) -> int:
    silent = [kind for kind in promised if not viewer.arrivals[kind].frames]
    if silent:
        print(f"rivulet-media play: the answer promised {' and '.join(silent)}, but nothing came", file=sys.stderr)
        return ExitCode.NO_MEDIA
    if args.until_ended and reason in ("duration", "frames"):
        print("rivulet-media play: the stream did not end", file=sys.stderr)
        return ExitCode.NO_MEDIA
    return ExitCode.DONE


def _promised(peer: Peer) -> tuple[Kind, ...]:
    """The kinds that the answer said would come."""
    kinds = [t.kind for t in peer.connection.getTransceivers() if t.currentDirection == "recvonly"]
    return tuple(kind for kind in ("audio", "video") if kind in kinds)


def _pair(peer: Peer) -> dict[str, Any] | None:
    pair = peer.pair()
    return None if pair is None else pair.as_json()


def _stop_signals() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped
