"""`rivulet-media trace`: what passes on one session, header by header, into a file; never a payload."""

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import aiohttp

from rivulet_media.errors import SettingsError
from rivulet_media.wire import TableBody, parse_body
from rivulet_media.wire_codec import WireError

if TYPE_CHECKING:
    from collections.abc import Iterator

# The last part of a session's URL; what stands before it names the node.
_SESSION = re.compile(
    r"(?:.*/)?session/(?P<node>[a-z0-9-]+/[0-9a-f]{12})/(?P<id>[0-9a-f]{16})/?|(?P<bare>[0-9a-f]{16})"
)
ASK = aiohttp.ClientTimeout(total=10.0)
# A quiet session says something every few seconds, its consent checks; a node that is gone says nothing.
LISTEN = aiohttp.ClientTimeout(total=None, connect=5.0, sock_connect=5.0, sock_read=40.0)
OK, NOT_FOUND = 200, 404


class TraceFailedError(Exception):
    """There is no trace; the message says why."""


@dataclass(frozen=True, kw_only=True)
class TraceSettings:
    """What is asked for, and of whom. `node`: the slot and incarnation in the URL; "": only the session is known."""

    session: str
    node: str
    nodes: tuple[str, ...]
    entry: str
    join_token: str = field(repr=False)
    seconds: int
    megabytes: int
    output: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-command's options."""
    parser.add_argument("session", help="the session's URL, as the player knows it, or its 16 hex digits")
    parser.add_argument("--node", help="the node's signalling address, http://HOST:PORT (or ask --entry)")
    parser.add_argument("--entry", help="URL of a director's internal listener (RIVULET_ENTRY)")
    parser.add_argument("--join-token", help="the region's join token; better: a file")
    parser.add_argument("--join-token-file", help="file with the join token (RIVULET_JOIN_TOKEN_FILE)")
    parser.add_argument("--seconds", type=int, default=60, help="at most so long (60, at most 3600)")
    parser.add_argument("--megabytes", type=int, default=20, help="at most so large (20, at most 100)")
    parser.add_argument("--output", default="-", metavar="FILE", help="where to (default: standard output)")


def run(args: argparse.Namespace) -> int:
    """Exit status 0: traced to the end; 1: no such session, or nobody answers; 2: the arguments are no good."""
    try:
        settings = read(args)
        print(f"rivulet-media trace: {asyncio.run(_trace(settings))}", file=sys.stderr)
    except (SettingsError, OSError) as error:
        print(f"rivulet-media trace: {error}", file=sys.stderr)
        return 2
    except TraceFailedError as error:
        print(f"rivulet-media trace: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def read(args: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> TraceSettings:
    """Flags first, then the environment. SettingsError names what is missing or wrong."""
    found = _SESSION.fullmatch(args.session.partition("?")[0])
    if found is None:
        raise SettingsError(f"{args.session!r} is no session: give its URL, or its 16 hex digits")
    entry = args.entry or environment.get("RIVULET_ENTRY", "")
    if not args.node and not entry:
        raise SettingsError("which node has the session? --node http://HOST:PORT, or --entry URL of a director")
    return TraceSettings(
        session=found["id"] or found["bare"],
        node=found["node"] or "",
        nodes=(args.node.rstrip("/"),) if args.node else (),
        entry=entry.rstrip("/"),
        join_token=_token(args, environment),
        seconds=args.seconds,
        megabytes=args.megabytes,
        output=args.output,
    )


def _token(args: argparse.Namespace, environment: Mapping[str, str]) -> str:
    if args.join_token:
        return str(args.join_token)
    path = args.join_token_file or environment.get("RIVULET_JOIN_TOKEN_FILE", "")
    if not path:
        raise SettingsError("a trace needs the region's join token: --join-token-file FILE")
    return Path(path).read_text(encoding="utf-8").strip()


async def _trace(settings: TraceSettings) -> str:
    """Ask one node after the other: of a bare session nobody knows whose it is."""
    headers = {"Authorization": f"Bearer {settings.join_token}"}
    silent: list[str] = []
    async with aiohttp.ClientSession(headers=headers) as http:
        for node in settings.nodes or await _nodes(http, settings):
            try:
                said = await _trace_at(http, node, settings)
            except aiohttp.ClientConnectorError as error:
                # It may have just gone; another one may have the session.
                silent.append(str(error))
                continue
            except (aiohttp.ClientError, TimeoutError) as error:
                raise TraceFailedError(f"no answer: {error or 'time-out'}") from error
            if said is not None:
                return said
    if silent:
        raise TraceFailedError(f"no answer: {'; '.join(silent)}")
    raise TraceFailedError(f"session {settings.session} does not live; traces are of sessions that still play")


async def _nodes(http: aiohttp.ClientSession, settings: TraceSettings) -> tuple[str, ...]:
    """Signalling addresses out of a director's table: of the one node, or of all that are not down.

    Of the director's own region only: no other one is to see its join token.
    """
    try:
        async with http.get(f"{settings.entry}/v1/table", timeout=ASK) as answer:
            if answer.status != OK:
                raise TraceFailedError(f"the director answers {answer.status}: {(await answer.text())[:300]}")
            table = parse_body(TableBody, await answer.read())
    except WireError as error:
        raise TraceFailedError(f"the director's table: {error}") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise TraceFailedError(f"no answer of the director: {error or 'time-out'}") from error
    living = [
        entry
        for entry in table.nodes
        if entry.region == table.region and entry.state != "down" and entry.ref.startswith(settings.node)
    ]
    if not living:
        raise TraceFailedError(f"no node {settings.node} of region {table.region} is up; ask where it is, if elsewhere")
    return tuple(f"http://{entry.http}" for entry in living)


async def _trace_at(http: aiohttp.ClientSession, node: str, settings: TraceSettings) -> str | None:
    """How the trace ended; None when the node does not know the session."""
    url = f"{node}/v1/trace/{settings.session}"
    asked = {"seconds": str(settings.seconds), "bytes": str(settings.megabytes * 1_000_000)}
    async with http.post(url, params=asked, timeout=LISTEN) as answer:
        if answer.status == NOT_FOUND:
            return None
        if answer.status != OK:
            raise TraceFailedError(f"{node} answers {answer.status}: {(await answer.text())[:300]}")
        with _opened(settings.output) as output:
            return await _copy(answer, output)


async def _copy(answer: aiohttp.ClientResponse, output: BinaryIO) -> str:
    size = lines = 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        lines += chunk.count(b"\n")
        output.write(chunk)
        output.flush()
    return f"{lines} lines, {size} bytes"


@contextmanager
def _opened(path: str) -> "Iterator[BinaryIO]":
    if path == "-":
        yield sys.stdout.buffer
    else:
        with Path(path).open("wb") as file:
            yield file
