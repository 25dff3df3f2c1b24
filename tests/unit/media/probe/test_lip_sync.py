import numpy as np
import pytest

from rivulet_media.camera.tone import burst_samples
from rivulet_media.camera.track import ntp_time
from rivulet_media.probe.lip_sync import FlashOnsets, LipSync, ToneOnsets
from rivulet_media.probe.sender_clock import SenderClock

NOW = 1_795_252_000.0
FPS = 15


def flash_onsets(numbers: list[int]) -> list[int]:
    flashes = FlashOnsets()
    found = [flashes.add(number * 6000, flashes=number % FPS < 2) for number in numbers]
    return [timestamp // 6000 for timestamp in found if timestamp is not None]


def test_the_first_picture_of_each_flash_is_its_onset() -> None:
    assert flash_onsets(list(range(5, 50))) == [15, 30, 45]


def test_where_the_first_picture_of_a_flash_is_lost_nothing_is_said() -> None:
    assert flash_onsets([number for number in range(5, 50) if number != 30]) == [15, 45]


def test_a_start_that_catches_up_is_soon_forgotten() -> None:
    flashes = FlashOnsets()
    squeezed = [(number, number * 1500) for number in range(30)]
    live = [(number, 29 * 1500 + (number - 29) * 6000) for number in range(30, 80)]
    found = [number for number, timestamp in squeezed + live if flashes.add(timestamp, flashes=number % FPS < 2)]
    assert found[-2:] == [60, 75]


def test_a_tone_s_onset_is_found_to_the_millisecond_in_pieces_of_20_ms() -> None:
    tones = ToneOnsets()
    onsets = [
        onset for first in range(24_000, 3 * 48_000, 960) for onset in tones.add(first, burst_samples(first, 960))
    ]
    assert onsets == [pytest.approx(48_000, abs=48), pytest.approx(96_000, abs=48)]


def test_noise_and_hum_are_no_tone() -> None:
    rng = np.random.default_rng(1)
    hum = 3000 * np.sin(2 * np.pi * 50 * np.arange(48_000) / 48_000)
    sound = (hum + rng.normal(0, 500, 48_000)).astype(np.int16)
    tones = ToneOnsets()
    assert [onset for first in range(0, 48_000, 960) for onset in tones.add(first, sound[first : first + 960])] == []


def lip_sync(*, late_ms: float) -> LipSync:
    """Both clocks with reports of their own; sound `late_ms` after the picture on the sender's clock."""
    video, audio = SenderClock(90_000), SenderClock(48_000)
    video.report(90_000, ntp_time(NOW))
    audio.report(48_000, ntp_time(NOW + late_ms / 1000))
    return LipSync(video, audio)


@pytest.mark.parametrize("late_ms", [0, 40, 300, -300])
def test_the_offset_is_on_the_sender_s_clock_whoever_arrives_first(late_ms: float) -> None:
    """R17."""
    sync = lip_sync(late_ms=late_ms)
    sync.flash(90_000)
    sync.tone(48_000)
    sync.tone(96_000)
    sync.flash(180_000)
    assert sync.offsets_ms == pytest.approx([late_ms, late_ms], abs=0.01)


def test_a_flash_without_its_tone_pairs_with_no_other() -> None:
    sync = lip_sync(late_ms=0)
    sync.flash(90_000)
    sync.tone(96_000)
    sync.flash(180_000)
    assert sync.offsets_ms == pytest.approx([0.0], abs=0.01)


def test_what_came_before_the_first_report_counts_when_the_report_is_there() -> None:
    video, audio = SenderClock(90_000), SenderClock(48_000)
    sync = LipSync(video, audio)
    sync.flash(90_000)
    sync.tone(48_000)
    assert sync.offsets_ms == []
    video.report(90_000, ntp_time(NOW))
    audio.report(48_000, ntp_time(NOW))
    sync.tone(96_000)
    assert len(sync.offsets_ms) == 1
