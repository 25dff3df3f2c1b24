import base64
import hashlib
import hmac

from rivulet_media.director.ice_servers import IceServer, ice_servers
from rivulet_media.director.resources import SlotStatus


def test_credentials_are_those_that_coturn_computes() -> None:
    """N4: base64 of HMAC-SHA1(secret, "expiry:name")."""
    slot = SlotStatus(name="turn-eu-0", address="192.0.2.7", port=3478, ready=True)
    (server,) = ice_servers([slot], "north", 1_000_000.9)
    assert server.urls == ("turn:192.0.2.7:3478?transport=udp", "turn:192.0.2.7:3478?transport=tcp")
    assert server.username == "1014400:rivulet"
    mac = hmac.new(b"north", b"1014400:rivulet", hashlib.sha1).digest()
    assert server.credential == base64.b64encode(mac).decode()


def test_without_a_secret_or_a_server_there_are_none() -> None:
    assert ice_servers([SlotStatus(name="t", address="192.0.2.7", port=3478)], "", 0) == ()
    assert ice_servers([], "north", 0) == ()


def test_ipv6_stands_in_brackets() -> None:
    (server,) = ice_servers([SlotStatus(name="t", address="2001:db8::7", port=3478)], "n", 0)
    assert server.urls[0] == "turn:[2001:db8::7]:3478?transport=udp"


def test_the_link_header_is_that_of_rfc_9725() -> None:
    server = IceServer(("turn:h:1?transport=udp",), "9:rivulet", "abc=")
    login = 'username="9:rivulet"; credential="abc="; credential-type="password"'
    assert server.links() == [f'<turn:h:1?transport=udp>; rel="ice-server"; {login}']
