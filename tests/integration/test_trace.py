"""What goes over the wire between nodes, as a trace shows it."""

import time
from collections import Counter

from packets import TCP, UDP, Packet, Trace, kind, rtp_payload
from rivulet_scene.bare import BareCdn
from rivulet_scene.clients import probe
from steps import publish


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def media_port(cdn: BareCdn, slot: str) -> int:
    return next(int(entry["mediaPort"]) for entry in cdn.table(slot)["nodes"] if entry["node"] == slot)


def test_the_edge_pulls_and_media_between_nodes_is_webrtc(cdn: BareCdn) -> None:
    """R6 R16: the edge asks and sends the first datagram; all that follows is STUN, DTLS or SRTP, and is ciphertext."""
    origin, origin_http = media_port(cdn, "origin-eu-0"), port_of(cdn.processes["origin-eu-0"].http)
    door = cdn.regions["eu"].public()
    with publish(cdn, "test_eu") as camera, Trace(origin, origin_http) as trace:
        publisher = {packet.source for packet in wait_for_media(trace) if packet.destination == origin}
        with probe(f"{door}/n/edge-eu-0/whep/test_eu", seconds=6) as viewer:
            assert viewer.result()["video"]["frames"] > 30
        assert camera.process.poll() is None
    relay = [
        packet
        for packet in trace.packets
        if packet.protocol == UDP and not {packet.source, packet.destination} & publisher
    ]
    assert relay
    assert relay[0].destination == origin
    kinds = Counter(kind(packet.payload) for packet in relay)
    assert set(kinds) <= {"stun", "dtls", "srtp"}, kinds
    assert kinds["srtp"] > 300, kinds
    big = [packet.payload for packet in relay if kind(packet.payload) == "srtp" and len(packet.payload) > 600]
    bodies = Counter(rtp_payload(datagram)[0] for datagram in big)
    assert bodies.most_common(1)[0][1] < 0.2 * bodies.total(), "payloads begin alike: that is no ciphertext"
    asked = b"".join(
        packet.payload for packet in trace.packets if packet.protocol == TCP and packet.destination == origin_http
    )
    assert b"POST /links" in asked


def wait_for_media(trace: Trace) -> list[Packet]:
    """The first second of a stream with its publisher only."""
    time.sleep(1)
    return list(trace.packets)


def test_node_messages_go_over_a_websocket(cdn: BareCdn) -> None:
    """D17: one GET /v1/link with an upgrade, then frames."""
    internal = port_of(cdn.regions["eu"].internal())
    with Trace(internal) as trace:
        cdn.node("traced-eu-0", "edge", "eu").stop()
    said = b"".join(packet.payload for packet in trace.packets if packet.destination == internal)
    assert b"POST /v1/join " in said
    assert b"GET /v1/link " in said
    assert b"Upgrade: websocket" in said
