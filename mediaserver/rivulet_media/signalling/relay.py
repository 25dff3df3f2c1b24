"""`/relay/{stream}`: other nodes that pull a stream from this one."""

import logging
import re

from aiohttp import web

from rivulet_media._engine import EngineError, NoTcpError
from rivulet_media.errors import NotYetError, RefusedError
from rivulet_media.identity import relay_candidates
from rivulet_media.sessions import Session
from rivulet_media.signalling.answers import created
from rivulet_media.signalling.desk import Desk
from rivulet_media.signalling.requests import SDP, bearer, check_token, read_text, refusal_of, stream_name
from rivulet_media.table import StreamEntry
from rivulet_media.tracks import named, offered_codecs, to_engine

log = logging.getLogger(__name__)

_BY_UDP = re.compile(r"^m=\S+ \S+ UDP/", re.MULTILINE)
_NODE_REF = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[0-9a-f]{12}")


class RelayOut:
    """Handler of the endpoint."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register the route."""
        router.add_post("/relay/{stream}", self.pull)

    async def pull(self, request: web.Request) -> web.Response:
        """POST: the offer of a node that has viewers."""
        desk, stream = self._desk, stream_name(request)
        check_token(bearer(request), desk.join_token, "a relay")
        node = desk.admission.check()
        if node.role == "edge":
            raise RefusedError("wrong-role", f"{node.node} is an edge: a leaf, never a parent")
        puller, cluster = puller_of(request), request.headers.get("Rivulet-Cluster", "")
        sdp = await read_text(request, SDP)
        node = desk.admission.check()
        entry = self.own(stream, node.ref)
        check_transport(entry, by_udp=_BY_UDP.search(sdp) is not None)
        try:
            session_id, answer = desk.engine.play(
                stream, to_engine(entry.tracks), sdp, relay=True, candidates=relay_candidates(node, cluster)
            )
        except NoTcpError as error:
            log.warning("a relay is refused: %s", error, extra={"stream": stream, "peer": puller})
            raise refusal_of(error) from error
        except EngineError as error:
            raise refusal_of(error, published=named(entry.tracks), offered=offered_codecs(sdp)) from error
        self.replace_earlier(stream, puller)
        session = Session(session_id, "relay_out", stream, peer=puller)
        desk.sessions.add(session)
        return created(session, node.ref, answer)

    def own(self, stream: str, ref: str) -> StreamEntry:
        """The publication, if it is this node's and stands. RefusedError otherwise."""
        entry = self._desk.table.table.stream(stream)
        if entry is None:
            raise RefusedError("not-here", f"{stream} is not published here")
        if entry.origin != ref:
            raise RefusedError("not-here", f"{stream} is published on {entry.origin}, not here")
        if entry.state == "ended":
            raise RefusedError("ended", f"{stream} has ended", reason=entry.reason or "stream-ended")
        if not entry.tracks:
            raise NotYetError("not-live", f"{stream} has only just begun: its codecs are not known yet", retry_after=1)
        return entry

    def replace_earlier(self, stream: str, puller: str) -> None:
        """One relay per stream and node: a node that asks again has given up the one before."""
        for session in self._desk.sessions.of_stream(stream, "relay_out"):
            if session.peer == puller:
                self._desk.closing.close(session.id, "superseded")


def check_transport(entry: StreamEntry, *, by_udp: bool) -> None:
    """RefusedError when the stream's relays go by TCP alone; the puller's entry is older than ours then."""
    if by_udp and entry.transport == "tcp":
        log.info("a relay by UDP is refused: the stream goes by TCP", extra={"stream": entry.stream})
        raise RefusedError("tcp-only", f"relays of {entry.stream} go by TCP alone; ask /relay with an offer for TCP")


def puller_of(request: web.Request) -> str:
    """Which node asks, by its header."""
    ref = request.headers.get("Rivulet-Node", "")
    if not _NODE_REF.fullmatch(ref):
        raise RefusedError("bad-request", "header Rivulet-Node must be slot/incarnation of the node that pulls")
    return ref
