import asyncio

from aiohttp.helpers import TimeoutHandle

from rivulet_media.director.passing import exactly


async def test_an_answer_is_waited_for_as_long_as_said_and_not_up_to_the_next_whole_second() -> None:
    loop = asyncio.get_running_loop()
    limits = exactly(7.0, 2.0)
    began = loop.time()
    timer = TimeoutHandle(loop, limits.total, limits.ceil_threshold).start()
    assert timer is not None
    assert began + 7 <= timer.when() <= loop.time() + 7
    timer.cancel()
