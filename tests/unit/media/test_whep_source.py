import pytest

from rivulet_media.whep_source import host_of, shown


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://cdn.example/whep/s", "cdn.example"),
        ("https://cdn.example:443/whep/s", "cdn.example"),
        ("http://cdn.example:8080", "cdn.example:8080"),
        ("http://[2001:db8::1]:8080/s", "[2001:db8::1]:8080"),
        ("http://[2001:db8::1]/s", "[2001:db8::1]"),
    ],
)
def test_people_know_a_server_by_its_host(url: str, host: str) -> None:
    assert host_of(url) == host


def test_what_may_be_a_secret_is_not_shown() -> None:
    assert shown("https://cdn.example/whep/s?token=secret#secret") == "https://cdn.example/whep/s"
    assert "secret" not in shown("https://cdn.example:99999/?token=secret")
