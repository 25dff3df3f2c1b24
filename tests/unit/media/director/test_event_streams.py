from typing import Any

import pytest

from rivulet_media.director.event_streams import MOST_STREAMS, EventStreams
from rivulet_media.director.passing import Source
from rivulet_media.errors import NotYetError

NOTHING: Any = None  # a stream that is refused needs neither request nor connection


async def test_more_streams_than_a_director_can_bear_are_refused_for_now() -> None:
    streams = EventStreams(NOTHING)
    streams.count = MOST_STREAMS
    with pytest.raises(NotYetError, match="event streams pass") as refused:
        await streams.pass_on(NOTHING, Source("http://192.0.2.1/", {}))
    assert (refused.value.slug, streams.count) == ("full", MOST_STREAMS)
