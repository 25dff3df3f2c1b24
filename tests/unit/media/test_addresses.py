import pytest

from rivulet_media.addresses import advertised, not_addresses


@pytest.mark.parametrize(
    ("text", "addresses", "wrong"),
    [
        ("", (), ("",)),
        ("203.0.113.10", ("203.0.113.10",), ()),
        ("2001:DB8:0:0::A,203.0.113.10", ("2001:db8::a", "203.0.113.10"), ()),
        (" 203.0.113.10 ,2001:db8::a", ("203.0.113.10", "2001:db8::a"), ()),
        ("203.0.113.10,::ffff:203.0.113.10", ("203.0.113.10",), ()),
        ("192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4,192.0.2.5", tuple(f"192.0.2.{n}" for n in range(1, 5)), ()),
        (
            "203.0.113.10:7000,[2001:db8::a],fe80::1%eth0,h",
            (),
            ("203.0.113.10:7000", "[2001:db8::a]", "fe80::1%eth0", "h"),
        ),
        ("203.0.113.10,", ("203.0.113.10",), ("",)),
    ],
)
def test_a_list_of_addresses_is_read(text: str, addresses: tuple[str, ...], wrong: tuple[str, ...]) -> None:
    assert advertised(text) == addresses
    assert not_addresses(text) == wrong
