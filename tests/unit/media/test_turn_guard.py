import argparse
from pathlib import Path
from typing import Any

import pytest

from rivulet_media import turn_guard
from rivulet_media.turn_guard import AllowedPeers, NoAnswerError, TurnServer, parse_peers, render


def test_the_configuration_allows_nobody_and_opens_nothing_that_is_not_needed() -> None:
    """N7."""
    lines = render(TurnServer("s3cret", "rivulet", Path("/var/lib/coturn/turndb"), "10.1.2.3")).splitlines()
    assert {
        "use-auth-secret",
        "static-auth-secret=s3cret",
        "denied-peer-ip=0.0.0.0-255.255.255.255",
        "denied-peer-ip=::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "no-tcp-relay",
        "no-multicast-peers",
        "no-cli",
        "relay-ip=10.1.2.3",
        "userdb=/var/lib/coturn/turndb",
    } <= set(lines)
    assert not [
        line for line in lines if line.startswith(("allowed-peer-ip", "allow-loopback-peers", "no-auth", "cli"))
    ]


def test_rows_become_what_was_told_and_other_realms_are_left_alone(tmp_path: Path) -> None:
    ours, theirs = (AllowedPeers(tmp_path / "turndb", realm) for realm in ("rivulet", "other"))
    ours.create()
    ours.create()
    assert theirs.write(frozenset({"10.9.9.9"}))
    assert ours.write(frozenset({"10.1.2.3", "10.1.2.4"}))
    assert ours.write(frozenset({"10.1.2.4", "fd00::1"}))
    assert not ours.write(frozenset({"10.1.2.4", "fd00::1"}))
    assert ours.read() == {"10.1.2.4", "fd00::1"}
    assert theirs.read() == {"10.9.9.9"}


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"peers": "10.1.2.3"},
        {"peers": ["10.1.2.0/24"]},
        {"peers": ["0.0.0.0-255.255.255.255"]},
        {"peers": [5]},
    ],
)
def test_an_answer_that_lists_anything_but_addresses_changes_nothing(answer: Any) -> None:
    with pytest.raises(NoAnswerError):
        parse_peers(answer)


def test_addresses_are_listed_once_in_their_usual_form() -> None:
    assert parse_peers({"peers": ["10.1.2.3", "10.1.2.3", "FD00:0::1"]}) == {"10.1.2.3", "fd00::1"}
    assert parse_peers({"peers": []}) == frozenset()


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [([], "--entry, --join-token-file"), (["--render"], "--secret-file")],
    ids=["guard", "render"],
)
def test_a_missing_setting_is_named(arguments: list[str], missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    turn_guard.add_arguments(parser)
    assert turn_guard.run(parser.parse_args(arguments)) == 2
    assert missing in capsys.readouterr().err


def test_rendering_writes_the_secret_where_others_cannot_read_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    parser = argparse.ArgumentParser()
    turn_guard.add_arguments(parser)
    options = ["--config", f"{tmp_path}/c", "--database", f"{tmp_path}/db", "--secret-file", f"{tmp_path}/secret"]
    assert turn_guard.run(parser.parse_args(["--render", *options])) == 0
    assert "static-auth-secret=s3cret\n" in (tmp_path / "c").read_text()
    assert (tmp_path / "c").stat().st_mode & 0o007 == 0
