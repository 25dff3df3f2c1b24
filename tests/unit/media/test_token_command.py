import argparse
import time
from pathlib import Path

import pytest
import yaml

from rivulet_media import token_command
from rivulet_media.tokens import Issuer, make_keys, verify


def invoke(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    token_command.add_arguments(parser)
    return token_command.run(parser.parse_args(arguments))


def test_a_token_is_good_for_the_key_that_public_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = str(tmp_path / "keys" / "publish.key")
    assert invoke("--key", key, "--stream", "a", "--stream", "b", "--subject", "camera-1", "--expires", "10m") == 0
    token = capsys.readouterr().out.strip()
    assert invoke("--key", key, "--public", "--issuer", "studio") == 0
    entry = yaml.safe_load(capsys.readouterr().out)["spec"]["trust"]["issuers"][0]

    issuer = Issuer.from_pem(entry["name"], entry["publicKey"])
    claims = verify(token, [issuer], action="publish", stream="b", now=time.time())
    assert (issuer.name, claims.subject, claims.streams) == ("studio", "camera-1", ("a", "b"))
    assert 590 < claims.expires - time.time() <= 600


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    key = tmp_path / "publish.key"
    assert invoke("--key", str(key), "--stream", "a") == 0
    made = key.read_text()
    assert invoke("--key", str(key), "--stream", "a") == 0
    assert key.read_text() == made
    assert key.stat().st_mode & 0o777 == 0o600


def test_without_a_stream_nothing_is_signed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke("--key", str(tmp_path / "k")) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "--stream" in printed.err


def test_a_file_that_is_no_key_is_named_and_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "publish.key"
    key.write_text("my shopping list")
    assert invoke("--key", str(key), "--stream", "a") == 2
    assert str(key) in capsys.readouterr().err
    assert key.read_text() == "my shopping list"


@pytest.mark.parametrize(
    ("text", "expected"), [("90", 90), ("90s", 90), ("30m", 1800), ("12h", 43200), ("1.5d", 129600)]
)
def test_durations_are_written_as_people_write_them(text: str, expected: float) -> None:
    assert token_command.seconds(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "-1h", "0", "inf", "nan"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|float"):
        token_command.seconds(text)


def test_the_pasted_entry_reads_as_the_region_s_yaml() -> None:
    pem = make_keys().public_pem
    assert yaml.safe_load(token_command.trust_entry("local", pem)) == {
        "spec": {"trust": {"issuers": [{"name": "local", "publicKey": pem.strip()}]}}
    }
