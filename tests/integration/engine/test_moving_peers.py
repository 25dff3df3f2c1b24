"""Peers whose address changes in the middle of a session: the session goes on, on real sockets."""

import pytest

from engine.nat import Nat, nat
from engine.peers import AUDIO, LOOPBACK, MakeNode, Publisher, Tone, Viewer, closing, eventually
from rivulet_media._engine import Engine

pytestmark = pytest.mark.timeout(90)

# A check of the client's (every 5 s or so) brings the new address; 4 s without a sign of the old one make it count; our
# own checks (every 3 s) find that out. Twice as long, for a busy machine.
FOLLOWED_SECONDS = 30.0


def remote_port(engine: Engine, session: str) -> int:
    (stats,) = (each for each in engine.stats()["sessions"] if each["session"] == session)
    return int((stats["remote"] or ":0").rpartition(":")[2])


async def followed(engine: Engine, session: str, way: Nat) -> None:
    await eventually(
        lambda: remote_port(engine, session) == way.outside, f"{session} goes to {way.outside}", within=FOLLOWED_SECONDS
    )


async def test_peers_whose_nat_gives_them_other_addresses_are_followed(make_node: MakeNode) -> None:
    """RFC 8445 §7.3.1: the client knows nothing of it and nominates nothing; its checks come from elsewhere."""
    node = make_node()
    publisher, viewer = Publisher(Tone()), Viewer("audio")
    async with nat(node.engine.port) as before, nat(node.engine.port) as behind, closing(publisher, viewer):
        node.engine.set_candidates([(LOOPBACK, before.inside)])
        source = await publisher.publish(node.engine, "s", "i1")
        node.engine.set_candidates([(LOOPBACK, behind.inside)])
        played = await viewer.play(node.engine, "s", [AUDIO])
        await viewer.frames_after(video=0, audio=30)
        sessions = ((source, before), (played, behind))
        for session, way in sessions:
            assert remote_port(node.engine, session) == way.outside
            await way.rebind()
        for session, way in sessions:
            await followed(node.engine, session, way)
        await viewer.frames_after(video=0, audio=30)
        assert not node.of(source, "closed")
        assert not node.of(played, "closed")
