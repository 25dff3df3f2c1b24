import pytest

from rivulet_media.ice_links import IceServer, ice_servers

LOGIN = 'rel="ice-server"; username="1795252000:viewer"; credential="a,b;c=\\"d"; credential-type="password"'


def test_servers_of_several_headers_and_of_one_come_in_order() -> None:
    headers = [
        f"<turn:t.example:3478?transport=udp>; {LOGIN}, <turn:t.example:3478?transport=tcp>; {LOGIN}",
        "<stun:s.example>;rel=ice-server",
    ]
    assert ice_servers(headers) == (
        IceServer("turn:t.example:3478?transport=udp", "1795252000:viewer", 'a,b;c="d'),
        IceServer("turn:t.example:3478?transport=tcp", "1795252000:viewer", 'a,b;c="d'),
        IceServer("stun:s.example"),
    )


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        "<https://a.example>; rel=next",
        '<urn:x>; rel="urn:ietf:params:whep:ext:core:layer"',
        "turn:a; rel=ice-server",
    ],
)
def test_other_links_and_nonsense_are_passed_over(header: str) -> None:
    assert ice_servers([header]) == ()


@pytest.mark.parametrize(
    ("url", "transport"),
    [
        ("stun:a", None),
        ("turn:a", "udp"),
        ("turn:a:3478?transport=tcp", "tcp"),
        ("turns:a:443", "tcp"),
        ("turns:a?transport=udp", "udp"),
    ],
)
def test_the_way_to_a_turn_server_is_in_its_url(url: str, transport: str | None) -> None:
    assert IceServer(url).transport == transport
