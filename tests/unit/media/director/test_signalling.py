"""Asking nodes in turn, without nodes: the clock goes on only while one is waited for."""

import dataclasses
from types import SimpleNamespace
from typing import Any, cast

import pytest

from entries import ORIGIN
from rivulet_media.director.answers import Answer
from rivulet_media.director.passing import Call, NoAnswerError
from rivulet_media.director.signalling import ANSWER_SECONDS, Keys, Signalling
from rivulet_media.table import NodeEntry

CALL = Call("POST", {})
OBS_SECONDS = 8.0
CODECS_SECONDS = 2.0


def node(number: int) -> NodeEntry:
    return dataclasses.replace(ORIGIN, node=f"edge-eu-{number}", role="edge")


class Scene:
    """Nodes that take requests and never answer, but for those in `answering`."""

    def __init__(self, *answering: str) -> None:
        self.now = 100.0
        self.asked: list[tuple[str, float]] = []
        self.region = "eu"
        self._answering = answering
        keys = Keys(join_token="join", turn_secret="")
        unused = cast("Any", SimpleNamespace())
        self.signalling = Signalling(cast("Any", self), unused, cast("Any", self), unused, keys)

    async def to_node(self, entry: NodeEntry, *_: object, seconds: float) -> Answer:
        self.asked.append((entry.node, seconds))
        if entry.node in self._answering:
            return Answer(200)
        self.now += seconds
        raise NoAnswerError("it has not answered in time")

    async def ask(self, count: int, seconds: float = ANSWER_SECONDS) -> Answer:
        nodes = [node(number) for number in range(count)]
        return await self.signalling._first_answer(nodes, "/whip/s", CALL, {}, self.now + seconds)


@pytest.mark.parametrize("count", [1, 2, 3, 9])
async def test_a_client_is_answered_before_it_gives_up_however_many_nodes_are_frozen(count: int) -> None:
    scene = Scene()
    answer = await scene.ask(count)
    assert answer.status == 503
    assert scene.now - 100.0 <= OBS_SECONDS - 1.0
    assert len(scene.asked) == min(count, 3)
    assert min(seconds for _, seconds in scene.asked) > CODECS_SECONDS


async def test_what_was_waited_before_is_missing_later() -> None:
    scene = Scene()
    await scene.ask(3, 4.0)
    assert scene.asked == [("edge-eu-0", 2.0), ("edge-eu-1", 1.0), ("edge-eu-2", 1.0)]


async def test_one_that_is_frozen_is_followed_by_one_that_answers() -> None:
    scene = Scene("edge-eu-1")
    assert (await scene.ask(2)).status == 200
    assert scene.now - 100.0 <= 3.0


async def test_when_all_of_the_time_is_gone_nobody_is_asked() -> None:
    """A limit of 0 s would be none."""
    scene = Scene("edge-eu-0")
    assert (await scene.ask(2, 0.0)).status == 503
    assert scene.asked == []
