"""Ways in for clients that send what no honest client does, and how they are refused."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from aiortc import RTCConfiguration, RTCPeerConnection

from rivulet_scene.bare import BareCdn
from rivulet_scene.http import Answer, request

SDP: Final = "application/sdp"
FRAGMENT: Final = "application/trickle-ice-sdpfrag"
NEVER: Final = "0123456789abcdef"
RETRIED: Final = {"not-live", "full", "settling", "region-unreachable", "no-node"}


async def _offer(direction: str, *kinds: str) -> str:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for kind in kinds:
        peer.addTransceiver(kind, direction=direction)
    await peer.setLocalDescription(await peer.createOffer())
    text = str(peer.localDescription.sdp)
    await peer.close()
    return text


def offer(protocol: str, *kinds: str) -> str:
    """A real client's offer for that endpoint; nobody will ever connect with it."""
    direction = "sendonly" if protocol == "whip" else "recvonly"
    return asyncio.run(_offer(direction, *(kinds or ("audio", "video"))))


@dataclass(frozen=True)
class Entrance:
    """A way to WHIP and WHEP: the region's front door, or a node itself."""

    name: str
    whip: str
    whep: str
    publisher: Mapping[str, str] = field(repr=False)

    @classmethod
    def at_the_door(cls, cdn: BareCdn, edge: str | None = None) -> Self:
        """Region eu's front door; viewers ask for this edge by its name, if there is one."""
        door = cdn.regions["eu"].public()
        publisher = {"Authorization": f"Bearer {cdn.token('second_eu')}"}
        return cls("front door", door, f"{door}/n/{edge}" if edge else door, publisher)

    def post(self, protocol: str, body: str, content_type: str = SDP) -> Answer:
        url = f"{self.whip}/whip/second_eu" if protocol == "whip" else f"{self.whep}/whep/test_eu"
        headers = {"Content-Type": content_type, **(self.publisher if protocol == "whip" else {})}
        return request("POST", url, body=body, headers=headers)

    def created(self, protocol: str) -> str:
        """The URL of a new session."""
        answer = self.post(protocol, offer(protocol))
        assert answer.status == 201, answer
        return (self.whip if protocol == "whip" else self.whep) + answer.headers["Location"]


def assert_refused(answer: Answer, status: int, slug: str) -> dict[str, Any]:
    """Problem JSON with all its members, readable from another site's page."""
    assert answer.status == status, (answer.status, answer.body)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    exposed = answer.headers["Access-Control-Expose-Headers"].replace(" ", "").split(",")
    assert set(exposed) >= {"Location", "ETag", "Link", "Retry-After"}
    problem: dict[str, Any] = answer.json
    assert problem["type"] == f"https://rivulet.dev/problems/{slug}", problem
    assert problem["status"] == status
    assert problem["title"]
    assert len(problem["detail"]) > 10, problem
    assert ("Retry-After" in answer.headers) is (slug in RETRIED)
    return problem
