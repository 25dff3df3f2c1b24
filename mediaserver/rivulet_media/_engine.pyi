# ruff: noqa: E501, PYI021 - the binding's contract stands here as text, for people
"""The native packet engine (mediaserver/engine). One `Engine` per media node; see docs/contract.md, "Engine border".

Nothing here is called per packet. Every call releases the GIL and returns in bounded time (a round trip to a data thread, or to all).
Sessions are named by the engine: 16 lower-case hex characters, never reused within a process.
"""

from collections.abc import Sequence
from typing import Literal, NotRequired, Self, TypedDict, final, type_check_only

__all__ = [
    "Engine",
    "EngineError",
    "LimitError",
    "NoTcpError",
    "OfferError",
    "UnknownSessionError",
    "UnsupportedError",
    "UsedSsrcError",
    "playable",
]

@type_check_only
class Layer(TypedDict):
    """One of several encodings of a track."""

    rid: str
    width: NotRequired[int]  # of its newest key frame, where that says it (VP8, VP9, H.264)
    height: NotRequired[int]
    bitrate: NotRequired[int | None]  # bit/s, as seen
    live: bool  # whether it is sent now

@type_check_only
class Track(TypedDict):
    """One track of a publication, as it stands in a stream's table entry (docs/contract.md, "Stream entry")."""

    kind: Literal["audio", "video"]
    codec: str  # "h264" | "h265" | "vp8" | "vp9" | "av1" | "opus"
    clock_rate: int  # Hz
    channels: NotRequired[int]  # audio only
    fmtp: str  # as published; H.264: profile-level-id from the SPS once one was seen
    layers: NotRequired[list[Layer]]  # simulcast, as the publisher lists them; absent: one, without a name

@type_check_only
class LinkTransport(TypedDict):
    """One end of a link."""

    ufrag: str
    password: str
    fingerprint: str  # SHA-256, hex pairs with colons
    candidates: Sequence[tuple[str, int]]  # UDP host candidates (IP, port), best first; of the parent only

@type_check_only
class LegTrack(TypedDict):
    """SSRCs of one track of a leg, or of one of its layers."""

    kind: Literal["audio", "video"]
    rid: str | None
    ssrc: int
    rtx_ssrc: int | None  # of its repairs

@type_check_only
class LegWish(TypedDict):
    """SSRCs of one leg; none is ever used again on its link."""

    feedback: int  # what the puller's reports are from
    tracks: list[LegTrack]

@type_check_only
class SessionStats(TypedDict):
    """Counters since the session's start; `rtt_ms`, `loss` are the latest estimates (None: not known yet)."""

    session: str
    link: str | None  # the session that carries this one
    kind: Literal["publisher", "viewer", "relay_in", "relay_out", "link_in", "link_out", "ingest"]
    stream: str  # "" of a link
    state: Literal["connecting", "connected"]
    age_ms: int
    remote: str | None  # "ip:port" of the nominated pair
    transport: Literal["udp", "tcp"] | None  # of the nominated pair
    rtt_ms: float | None
    loss: float | None  # fraction 0…1 in the latest report, before repair: the peer's (viewer, relay_out) or ours
    packets: int  # RTP packets from_publisher/from the parent, or to_viewer (repairs not counted)
    bytes: int  # RTP bytes with headers, without UDP/IP
    media_age_ms: (
        int | None
    )  # since the last RTP packet in (publisher, ingest, relay_in) or out (viewer, relay_out); link: since its peer's last valid check
    nacks: int  # packets asked for again, each time counted: by the peer (viewer, relay_out) or by us
    repaired: int  # packets sent again, or that came after we had asked
    given_up: int  # packets that we asked for and wait for no longer (publisher, ingest, relay_in)
    late: int  # packets that came too late by a relay over TCP and were dropped (relay_in)
    plis: int  # key frames asked for: by the peer or by us
    cut: int  # times that a queue was too late: caught up with from the stream's log, or cut to the next key frame
    longest_gap_ms: int  # longest time between two video packets sent (viewer) or received, since start
    layer: str | None  # viewer: the rid of the layer that it gets (None: the stream has no layers)
    estimate_bps: int | None  # viewer: what its path is thought to carry (None: nothing speaks against any rate)

@type_check_only
class StreamStats(TypedDict):
    stream: str
    incarnation: str | None
    viewers: int
    media_age_ms: int | None
    gop_ms: int | None
    key_frames: int

@type_check_only
class EngineStats(TypedDict):
    sessions: list[SessionStats]
    streams: list[StreamStats]
    packets_sent: int  # datagrams to viewers and relays: media, repairs, reports
    bytes_sent: int  # of those, without headers of IP, UDP and TCP
    packets_received: int  # datagrams of all kinds: media, reports, checks, handshakes, garbage
    bytes_received: int  # of those, without headers of IP, UDP and TCP
    send_calls: int
    gso_messages: int
    would_block: int  # times that the socket buffer was full (EAGAIN)
    tcp_connections: int  # open now
    tcp_accepted: int
    tcp_refused: int  # at the limit (twice max_sessions), or the system was out of something
    tcp_silent: int  # closed: no valid check within 10 s
    tcp_garbage: int  # closed: what came was no frame, or no datagram of WebRTC
    tcp_displaced: int  # closed: of more than 256 without a valid check, the oldest
    tcp_cuts: int  # times that video waited too long in a connection and was dropped up to the next key frame
    tcp_dialled: int  # connections to parents, of relays over TCP, that we have opened
    tcp_congestion_refused: (
        int  # connections of relays that could not have `relay_congestion`: the kernel lacks it, or forbids it
    )
    unknown_datagrams: int  # garbage, truncated, or from nobody we know
    pending_handshakes: int
    handshake_wait_ms: (
        int  # how long the first of them has waited for the time that media leave; above 2 s none is taken
    )
    dropped_bursts: int  # that one data thread was not given by another, being behind
    loop_lateness_ms: float  # worst lateness of a timer since the last call
    ticks: int  # turns of the data threads, which have all answered: liveness is that it grows

@type_check_only
class Event(TypedDict):
    """`type` says which of the others are there.

    connected {session}              DTLS is finished and keys are in use
    closed    {session, reason}      reason: "peer-closed" | "handshake-timeout" (15 s) | "consent-expired" (30 s without a valid
                                     check) | "codec-changed" (the stream's video comes in a codec that this viewer did not agree
                                     to) | "too-lossy" (a viewer that lost > 30 % for 10 s) | "too-fast" (a publisher that
                                     sent more than publisher_mbps for more than 3 s) | "unreachable" (no TCP connection to
                                     the parent came about within 5 s) | "connection-lost" (of a relay over TCP) | "failed" |
                                     "shutdown"; never sent for a close() that Python asked for
    tracks    {session, stream, incarnation, tracks}   codecs known (again when the SPS says more)
    active    {session, stream, incarnation}           first RTP packet, or the first after "silent"
    silent    {session, stream, incarnation}           3 s without an RTP packet from the source
    layer     {session, stream, layer}                 this viewer gets this layer of the stream (its rid) from now on
    """

    type: Literal["connected", "closed", "tracks", "active", "silent", "layer"]
    session: str
    stream: str
    incarnation: NotRequired[str]
    reason: NotRequired[str]
    tracks: NotRequired[list[Track]]
    layer: NotRequired[str]

class EngineError(Exception):
    """Base of what the engine refuses; the message is a sentence for the peer."""

class OfferError(EngineError):
    """SDP that cannot be parsed or breaks WHIP/WHEP (HTTP 400)."""

class UnsupportedError(EngineError):
    """Well-formed, but not possible: no common codec, too many tracks (HTTP 422). The message names what is published and offered."""

class LimitError(EngineError):
    """Too many sessions or pending handshakes, or these wait too long (HTTP 503 with Retry-After)."""

class NoTcpError(EngineError):
    """A node asks for a relay over TCP, and this one takes no media over TCP (HTTP 422, `no-tcp`)."""

class UnknownSessionError(EngineError):
    """No such session, or it has ended (HTTP 404 or 410)."""

class UsedSsrcError(EngineError):
    """An SSRC of a leg is 0, said twice, or was used on its link before (HTTP 409)."""

def playable(tracks: Sequence[Track], offer: str) -> None:
    """Raise OfferError or UnsupportedError when a viewer's `offer` cannot play `tracks`; the same rule as `Engine.play`. Pure."""

@final
class Engine:
    """Sockets, ICE, DTLS, SRTP and forwarding on data threads of its own."""

    def __new__(
        cls,
        bind: str,
        port: int,
        *,
        gather_ms: float = 20.0,
        history_ms: int = 1500,
        egress_mbps: int = 1000,
        publisher_mbps: int = 50,
        max_sessions: int = 5000,
        max_handshakes: int = 500,
        send_buffer: int | None = None,
        receive_buffer: int | None = None,
        threads: int = 1,
        tcp: bool = True,
        relay_congestion: str = "bbr",
    ) -> Self:
        """Bind UDP on `bind:port` (0: any free port), and TCP if `tcp`; start the data threads, at most 64.

        `gather_ms`: for how long a publisher's frame is held from its first packet on, to leave with its last; sound that comes
        meanwhile leaves with it.
        `publisher_mbps`: what one publisher may send, in Mbit/s; one second of it may come at once. What goes beyond it is not passed on.
        `relay_congestion`: the congestion control that TCP connections of relays are to have on our side, where the kernel has it.
        OSError when the port is taken.
        """

    @property
    def port(self) -> int: ...
    def short_buffers(self) -> list[tuple[str, int, int]]:
        """Buffers of the UDP sockets that the kernel has made smaller than wanted: (sysctl that limits it, bytes wanted, bytes got)."""

    def event_fd(self) -> int:
        """An eventfd that becomes readable when `drain_events` has something."""

    def drain_events(self) -> list[Event]: ...
    def set_candidates(self, addresses: Sequence[tuple[str, int]]) -> None:
        """Addresses (IP, port) that answers advertise from now on, best first; they may differ from the bound one."""

    def publish(self, stream: str, incarnation: str, offer: str, codecs: Sequence[str]) -> tuple[str, str]:
        """Answer a WHIP offer: (session, answer SDP). The first RTP packet makes `incarnation` the stream's source."""

    def play(
        self,
        stream: str,
        tracks: Sequence[Track],
        offer: str,
        *,
        relay: bool = False,
        candidates: Sequence[tuple[str, int]] | None = None,
        layer: str | None = None,
    ) -> tuple[str, str]:
        """Answer a WHEP offer for `tracks`: (session, answer SDP). The stream need not have a source yet.

        `relay`: the viewer is another node (AES-GCM only, fixed profile). `candidates`: instead of the node's own. `layer`: as with `choose_layer`.
        """

    def pull(self, stream: str, incarnation: str, tracks: Sequence[Track], *, tcp: bool = False) -> tuple[str, str]:
        """Begin a relay: (session, offer SDP) for the parent. Opens a UDP socket of its own; none with `tcp`, where it is TCP alone."""

    def ingest(self, stream: str, incarnation: str, codecs: Sequence[str]) -> tuple[str, str]:
        """Begin a publication that a foreign server sends as to a viewer: (session, offer SDP of every codec that may come).

        Opens a UDP socket of its own, whose address the offer names. `publisher_mbps` holds. The answer goes to `pull_answer`; the
        first RTP packet makes `incarnation` the stream's source, as with `publish`.
        """

    def pull_answer(self, session: str, answer: str) -> None:
        """The answer to the offer of `pull` or `ingest`; checks start at once, or with `tcp` when a connection to one of its addresses is open."""

    def open_link(self) -> tuple[str, LinkTransport]:
        """Begin a link, which carries many relays from one parent: (session, what the parent is to be told). Opens a UDP socket of its own."""

    def answer_link(self, link: str, transport: LinkTransport) -> None:
        """The parent's end; checks start at once."""

    def accept_link(
        self, transport: LinkTransport, *, candidates: Sequence[tuple[str, int]] | None = None
    ) -> tuple[str, LinkTransport]:
        """Another node opens a link: (session, what it is to be told). `candidates`: instead of the node's own."""

    def pull_leg(self, link: str, stream: str, incarnation: str, tracks: Sequence[Track]) -> tuple[str, LegWish]:
        """Begin a relay on a link of ours, answered or not: (session, what the parent is to be asked for). Its media is known from now on.

        "connected" comes once the link is, and `answer_leg` was called. UnknownSessionError: there is no such link.
        """

    def answer_leg(self, leg: str) -> None:
        """The parent has agreed. UnknownSessionError when the leg is gone."""

    def serve_leg(self, link: str, stream: str, tracks: Sequence[Track], wish: LegWish) -> str:
        """Send a stream by a link that another node has opened, as soon as it is connected: the session, which `close` ends.

        A leg that its puller does not report on for 10 s is closed as "consent-expired". UnknownSessionError, UsedSsrcError.
        """

    def patch(self, session: str, fragment: str) -> str | None:
        """A trickle or ICE-restart fragment (application/trickle-ice-sdpfrag). Trickle: None. Restart: our fragment with new credentials."""

    def choose_layer(self, session: str, rid: str | None) -> None:
        """Have a viewer get this layer of its stream from that layer's next key frame on; None: the best that its path carries.

        A name that the stream does not have counts as None until it has. UnknownSessionError.
        """

    def close(self, session: str) -> None:
        """End a session and tell the peer (RTCP BYE, DTLS close_notify). UnknownSessionError when it is gone already."""

    def drop_stream(self, stream: str) -> None:
        """Forget a stream's source, ring and viewers; sessions that still stand are closed as with `close`."""

    def request_keyframe(self, stream: str) -> None:
        """Ask the source for a key frame, within the stream's budget."""

    def trace(self, session: str, seconds: int, max_bytes: int) -> None:
        """Note the headers of what passes on a session from now on, as lines of JSON (docs/contract.md §5.1), at most so long and so large.

        UnknownSessionError; LimitError when it is being traced already, or eight others are.
        """

    def read_trace(self, session: str, *, stop: bool = False) -> tuple[str, bool]:
        """The lines since the last reading, whole ones; whether the last is among them, after which the trace is forgotten.

        More than 1 MiB is not kept: read several times a second. `stop`: end it now.
        """

    def stats(self) -> EngineStats: ...
    def shutdown(self, timeout_ms: int = 1000) -> None:
        """Close all sessions (telling the peers), stop the threads, close the sockets. Idempotent."""
