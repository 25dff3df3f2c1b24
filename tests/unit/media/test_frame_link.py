import asyncio

import pytest

from rivulet_media.frame_link import FIRST_DELAY, keep_dialling


async def test_dialling_goes_on_after_a_defect_which_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    class Enough(BaseException):
        """Ends the test."""

    outcomes = iter([ValueError("a frame that nobody thought of"), None, Enough()])

    async def attempt() -> None:
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome

    monkeypatch.setattr("rivulet_media.frame_link.asyncio.sleep", sleep)
    with pytest.raises(Enough):
        await asyncio.wait_for(keep_dialling(attempt), 1)
    assert len(slept) == 2
    assert min(slept) > FIRST_DELAY
    assert ["died of a defect" in text for text in caplog.messages] == [True]
