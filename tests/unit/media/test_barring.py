import pytest

from rivulet_media.barring import MOST_BARRED, PAUSE_SECONDS, Barring
from rivulet_media.errors import NotYetError


def test_who_is_barred_is_told_when_to_come_again_and_others_are_not_meant() -> None:
    """S5."""
    barring = Barring()
    barring.bar("s", "camera-1", 100.0)
    with pytest.raises(NotYetError, match="camera-1 has sent more on s") as refused:
        barring.check("s", "camera-1", 102.5)
    assert (refused.value.slug, refused.value.headers["Retry-After"]) == ("too-many-requests", "8")
    barring.check("s", "camera-1", 100.0 + PAUSE_SECONDS)
    barring.check("s", "camera-2", 101.0)
    barring.check("other", "camera-1", 101.0)


def test_the_newest_are_remembered() -> None:
    barring = Barring()
    for number in range(MOST_BARRED + 1):
        barring.bar("s", str(number), 0.0)
    barring.check("s", "0", 1.0)
    with pytest.raises(NotYetError):
        barring.check("s", "1", 1.0)
