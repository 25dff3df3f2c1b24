import argparse
from pathlib import Path

import pytest

from rivulet_media.errors import SettingsError
from rivulet_media.trace_command import TraceSettings, add_arguments, read


def settings(*words: str, **environment: str) -> TraceSettings:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return read(parser.parse_args(words), environment)


@pytest.mark.parametrize(
    ("named", "node"),
    [
        ("https://eu.example/session/edge-eu-0/3f9c0a11be42/0123456789abcdef", "edge-eu-0/3f9c0a11be42"),
        ("/session/edge-eu-0/3f9c0a11be42/0123456789abcdef/", "edge-eu-0/3f9c0a11be42"),
        ("http://x:8080/session/edge-eu-0/3f9c0a11be42/0123456789abcdef?a=b", "edge-eu-0/3f9c0a11be42"),
        ("0123456789abcdef", ""),
    ],
    ids=["URL", "path", "with a query", "bare"],
)
def test_a_session_is_named_as_people_have_it(named: str, node: str) -> None:
    found = settings(named, "--entry", "http://d:7443", "--join-token", "t")
    assert (found.node, found.session) == (node, "0123456789abcdef")


def test_inside_a_pod_the_environment_says_the_rest(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    found = settings("0123456789abcdef", RIVULET_ENTRY="http://d:7443/", RIVULET_JOIN_TOKEN_FILE=str(token))
    assert (found.entry, found.join_token, found.seconds, found.megabytes) == ("http://d:7443", "secret", 60, 20)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense", "--entry", "e", "--join-token", "t"], "no session"),
        (["0123456789abcdef", "--join-token", "t"], "which node"),
        (["0123456789abcdef", "--entry", "e"], "join token"),
    ],
)
def test_what_is_missing_is_named(words: list[str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        settings(*words)
