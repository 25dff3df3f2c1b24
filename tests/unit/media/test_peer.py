import pytest

from rivulet_media.peer import loopback_towards


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.9", "127.0.0.1"),
        ("::1", "::1"),
        ("203.0.113.10", None),
        ("2001:db8::10", None),
        ("eu.example.com", None),
        ("", None),
    ],
)
def test_a_server_on_this_machine_is_reached_from_the_loopback_address_of_its_family(
    host: str, own: str | None
) -> None:
    assert loopback_towards(host) == own
