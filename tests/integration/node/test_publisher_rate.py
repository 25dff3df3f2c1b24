"""S5: a publisher that sends more than it may is ended, and nobody else notices."""

import asyncio
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import pytest
from aiortc import MediaStreamTrack, RTCRtpSender
from aiortc.mediastreams import AudioStreamTrack

from node.clients import Peer, let_in, session_url, viewer
from rivulet_scene.bare import BareCdn, metric
from rivulet_scene.http import get, request
from rivulet_scene.waiting import until

if TYPE_CHECKING:
    from av.stream import Stream

pytestmark = pytest.mark.timeout(120)

LIMIT_MBPS = 2
FPS = 25
LATE_SECONDS = 0.2
KEY_FRAME = bytes([0x10, 0, 0, 0x9D, 0x01, 0x2A, 64, 1, 180, 0])


class Encoded(MediaStreamTrack):
    """VP8 of a given bit rate, in name only: a header and zeros, and every frame is a key frame."""

    kind = "video"

    def __init__(self, mbps: float) -> None:
        super().__init__()
        self._bytes = int(mbps * 125_000 / FPS)
        self._start = time.monotonic()
        self._count = 0

    async def recv(self) -> "av.Packet[Stream]":
        self._count += 1
        early = self._start + self._count / FPS - time.monotonic()
        if early < -LATE_SECONDS:  # what was missed is not sent after: a burst would overflow sockets
            self._start -= early
        await asyncio.sleep(max(0.0, early))
        packet: av.Packet[Stream] = av.Packet(KEY_FRAME + bytes(self._bytes - len(KEY_FRAME)))
        packet.pts, packet.time_base = self._count * 90_000 // FPS, Fraction(1, 90_000)
        return packet


def sender(mbps: float) -> Peer:
    peer = Peer((AudioStreamTrack(), Encoded(mbps)))
    known = RTCRtpSender.getCapabilities("video").codecs
    chosen = [codec for codec in known if codec.mimeType in ("video/VP8", "video/rtx")]
    peer.connection.getTransceivers()[1].setCodecPreferences(chosen)
    return peer


@pytest.fixture
def narrow(region: BareCdn) -> Iterator[str]:
    """An origin that takes 2 Mbit/s of one publisher."""
    yield region.node("origin-eu-1", "origin", "eu", "--publisher-mbps", str(LIMIT_MBPS)).http
    region.processes.pop("origin-eu-1").stop()


async def look(seen: Callable[[], bool], what: str, seconds: float = 15) -> None:
    await asyncio.to_thread(until, seen, what, seconds=seconds, pause=0.1)


async def test_who_sends_too_much_is_cut_ended_and_barred_and_a_neighbour_is_undisturbed(
    region: BareCdn, narrow: str
) -> None:
    async with sender(1) as neighbour, sender(12) as flood, viewer() as watching, viewer() as flooded:
        await neighbour.post(f"{narrow}/whip/test_eu", let_in(region, "camera-1"))
        await neighbour.connect()
        await look(lambda: get(f"{narrow}/whep/test_eu").status == 204, "known")
        await watching.post(f"{narrow}/whep/test_eu")
        await watching.connect()

        begun, sent = time.monotonic(), metric(narrow, "rivulet_bytes_sent_total")
        posted = await flood.post(f"{narrow}/whip/other_eu", let_in(region, "camera-2"))
        await flood.connect()
        await look(lambda: get(f"{narrow}/whep/other_eu").status == 204, "known")
        await flooded.post(f"{narrow}/whep/other_eu")
        await flooded.connect()
        url = session_url(narrow, posted)
        await look(lambda: get(url).status == 410, "the flood has ended", 30)
        assert get(url).json["reason"] == "too-fast"
        assert metric(narrow, "rivulet_bytes_received_total") > 12 * 125_000 * 2, "it was a flood"
        passed = metric(narrow, "rivulet_bytes_sent_total") - sent
        lasted = time.monotonic() - begun
        allowed = LIMIT_MBPS * 125_000 * (lasted + 1) + 1.3 * 125_000 * lasted
        assert passed <= 1.2 * allowed, "no more of it reached its viewer than was allowed"

        barred = await asyncio.to_thread(
            request, "POST", f"{narrow}/whip/other_eu", body=flood.offer, headers=sdp(region)
        )
        assert (barred.status, barred.json["type"].rpartition("/")[2]) == (429, "too-many-requests")
        assert 1 <= int(barred.headers["Retry-After"]) <= 10

        before = metric(narrow, "rivulet_packets_sent_total")
        await look(lambda: metric(narrow, "rivulet_packets_sent_total") > before + 100, "the neighbour goes on", 10)
        assert get(session_url(narrow, neighbour.posted)).status == 200
        assert await loss(watching) <= 0.01

    await asyncio.sleep(int(barred.headers["Retry-After"]))
    async with sender(1) as tamed:
        assert (await tamed.post(f"{narrow}/whip/other_eu", let_in(region, "camera-2"))).status == 201
        await tamed.connect()


def sdp(region: BareCdn) -> dict[str, str]:
    return {"Content-Type": "application/sdp", **let_in(region, "camera-2")}


async def loss(peer: Peer) -> float:
    """The share of packets that a viewer has missed, of all tracks."""
    stats = await peer.connection.getStats()
    tracks = [each for each in stats.values() if each.type == "inbound-rtp"]
    lost, received = (sum(getattr(each, name) for each in tracks) for name in ("packetsLost", "packetsReceived"))
    return float(lost / (lost + received))
