from pathlib import Path

import pytest

from rivulet_media.director.last_copy import FILE_NAME, LastCopy


def test_what_was_written_last_is_read_and_nobody_else_may(tmp_path: Path) -> None:
    state = tmp_path / "state"
    for documents in ([{"kind": "Stream"}], [{"kind": "CDNNode"}, {"kind": "Stream"}]):
        LastCopy(state).write(documents)
        assert LastCopy(state).read() == documents
    assert (state / FILE_NAME).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{", "3", '{"a": 1}', "[3]"])
def test_a_broken_copy_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    assert LastCopy(tmp_path).read() == []


def test_without_a_directory_nothing_is_kept() -> None:
    LastCopy(None).write([{"kind": "Stream"}])
    assert LastCopy(None).read() == []
