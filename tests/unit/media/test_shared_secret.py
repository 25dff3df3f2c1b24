import pytest

from rivulet_media import shared_secret


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        (b"join", True),
        (b"", False),
        (b"joim", False),
        (b"join ", False),
        (b"\xff", False),
        ("jöin".encode(), False),
    ],
)
def test_whatever_bytes_a_header_has_fit_or_do_not(given: bytes, fits: object) -> None:
    as_headers_come = given.decode(errors="surrogateescape")
    assert shared_secret.fits(as_headers_come, "join") is fits
