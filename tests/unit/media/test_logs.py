import io
import json
import logging
from collections.abc import Iterator

import pytest

from rivulet_media import logs


@pytest.fixture(autouse=True)
def restored_root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logs._formatter.bound.clear()


def test_a_line_is_one_json_object_with_ids() -> None:
    sink = io.StringIO()
    logs.setup("info", sink)
    logs.bind(node="edge-eu-0/3f9c0a11be42")
    logging.getLogger("x").info("viewer %s", "left", extra={"stream": "test_eu", "session": "77d0"})
    line = json.loads(sink.getvalue())
    del line["time"]
    assert line == {
        "level": "info",
        "logger": "x",
        "message": "viewer left",
        "node": "edge-eu-0/3f9c0a11be42",
        "stream": "test_eu",
        "session": "77d0",
    }


def test_lines_below_the_level_are_left_out() -> None:
    sink = io.StringIO()
    logs.setup("warning", sink)
    logging.getLogger("x").info("quiet")
    assert sink.getvalue() == ""


def test_an_exception_stays_on_its_line() -> None:
    sink = io.StringIO()
    logs.setup("info", sink)
    try:
        int("odd")
    except ValueError:
        logging.getLogger("x").exception("failed")
    assert sink.getvalue().count("\n") == 1
    assert "ValueError: invalid" in json.loads(sink.getvalue())["exception"]
