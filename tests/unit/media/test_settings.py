import argparse
from collections.abc import Sequence
from pathlib import Path

import pytest

from rivulet_media.errors import SettingsError
from rivulet_media.settings import NodeSettings, add_arguments, read


def parsed(*flags: str, environment: dict[str, str] | None = None) -> NodeSettings:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return read(parser.parse_args(flags), environment or {})


NEEDED = ("--entry", "http://127.0.0.1:7443", "--join-token", "secret")


def test_an_entry_point_and_a_token_are_enough() -> None:
    """D12 P13."""
    settings = parsed(*NEEDED)
    assert (settings.role, settings.slot, settings.http_port, settings.media_port) == (None, None, 8080, 7000)
    assert (settings.pod_ip, settings.media_tcp) == ("127.0.0.1", True)


def test_the_environment_is_read_and_a_flag_goes_before_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    environment = {
        "RIVULET_ENTRY": "http://rivulet-director-internal:7443/",
        "RIVULET_JOIN_TOKEN_FILE": str(tmp_path / "token"),
        "RIVULET_ROLE": "origin",
        "RIVULET_SLOT": "origin-eu-0",
        "RIVULET_MEDIA_PORT": "7003",
        "RIVULET_POD_IP": "10.244.0.7",
        "RIVULET_DRAIN_SECONDS": "30",
    }
    settings = parsed("--media-port", "7004", environment=environment)
    assert settings.entry == "http://rivulet-director-internal:7443"
    assert (settings.join_token, settings.role, settings.slot) == ("secret", "origin", "origin-eu-0")
    assert (settings.media_port, settings.pod_ip, settings.drain_seconds) == (7004, "10.244.0.7", 30.0)


def test_media_have_as_many_threads_as_cpus_unless_a_number_is_said() -> None:
    assert parsed(*NEEDED).media_threads == 0
    assert parsed(*NEEDED, "--media-threads", "3").media_threads == 3


def test_media_over_tcp_can_be_switched_off() -> None:
    assert parsed(*NEEDED, environment={"RIVULET_MEDIA_TCP": "off"}).media_tcp is False


def test_links_are_kept_for_a_minute_unless_they_are_not_wanted() -> None:
    assert parsed(*NEEDED).link_seconds == 60.0
    assert parsed(*NEEDED, environment={"RIVULET_LINK_SECONDS": "0"}).link_seconds == 0.0


def test_a_link_takes_no_more_relays_from_400_mbps_on_unless_another_rate_is_said() -> None:
    assert parsed(*NEEDED).link_mbps == 400
    assert parsed(*NEEDED, environment={"RIVULET_LINK_MBPS": "2000"}).link_mbps == 2000


def test_frames_are_gathered_for_20_ms_unless_nothing_is_to_wait() -> None:
    assert parsed(*NEEDED).gather_ms == 20
    assert parsed(*NEEDED, environment={"RIVULET_GATHER_MS": "0"}).gather_ms == 0


def test_the_token_is_not_shown() -> None:
    assert "secret" not in repr(parsed(*NEEDED))


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--join-token", "x"], "RIVULET_ENTRY"),
        (["--entry", "director:7443", "--join-token", "x"], "RIVULET_ENTRY"),
        (["--entry", "http://127.0.0.1:7443"], "RIVULET_JOIN_TOKEN_FILE"),
        (["--entry", "http://127.0.0.1:7443", "--join-token-file", "/nonexistent"], "/nonexistent"),
        ([*NEEDED, "--role", "transcoder"], "RIVULET_ROLE"),
        ([*NEEDED, "--slot", "Edge_1"], "RIVULET_SLOT"),
        ([*NEEDED, "--http-port", "65536"], "RIVULET_HTTP_PORT"),
        ([*NEEDED, "--media-threads", "-1"], "RIVULET_MEDIA_THREADS"),
        ([*NEEDED, "--media-threads", "65"], "RIVULET_MEDIA_THREADS"),
        ([*NEEDED, "--drain-seconds", "3501"], "RIVULET_DRAIN_SECONDS"),
        ([*NEEDED, "--gather-ms", "101"], "RIVULET_GATHER_MS"),
        ([*NEEDED, "--link-seconds", "86401"], "RIVULET_LINK_SECONDS"),
        ([*NEEDED, "--link-mbps", "0"], "RIVULET_LINK_MBPS"),
        ([*NEEDED, "--link-mbps", "100001"], "RIVULET_LINK_MBPS"),
        ([*NEEDED, "--log-level", "loud"], "RIVULET_LOG_LEVEL"),
        ([*NEEDED, "--media-tcp", "maybe"], "RIVULET_MEDIA_TCP"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_named(flags: Sequence[str], names: str) -> None:
    with pytest.raises(SettingsError, match=names):
        parsed(*flags)
