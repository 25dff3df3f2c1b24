"""The report of `make bench-fanout`: what was measured stands in table, Markdown, JSON and plot alike."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import fanout_report
from fanout_report import Case, Result

LATENCY = {f"{packet}_p{p}": p * 100 for packet in ("first", "last", "sound") for p in (50, 95, 99)}
SVG = "{http://www.w3.org/2000/svg}"


def result(us: float) -> Result:
    return Result(LATENCY, us, us / 2, 2.0, us - 0.5, us + 0.5, 170.0, 780.0, 781.0, 12.5, 64.0)


RESULTS = {
    Case("pod", "paced", 10, 10.0, 1): result(8.25),
    Case("pod", "paced", 1000, 10.0, 1): result(4.125),
    Case("pod", "burst", 10, 10.0, 1): result(6.5),
}


def points(svg: str) -> list[list[tuple[float, float]]]:
    lines = ET.fromstring(svg).findall(f".//{SVG}polyline")  # noqa: S314 - our own text
    return [[(float(x), float(y)) for x, y in (p.split(",") for p in line.attrib["points"].split())] for line in lines]


def test_the_plot_has_a_line_for_server_and_floor_of_every_pattern_and_more_is_higher() -> None:
    paced, paced_floor, burst, _ = points(fanout_report.plot(RESULTS))
    assert [len(line) for line in (paced, paced_floor, burst)] == [2, 2, 1]
    assert paced[0][0] < paced[1][0]  # more viewers stand further right
    assert paced[0][1] < paced[1][1]  # and cost less: lower, so y is greater
    assert paced_floor[0][1] > paced[0][1]
    assert burst[0][1] > paced[0][1]


def test_one_number_of_viewers_can_be_drawn_too() -> None:
    only = {Case("url", "rich", 100): result(5.0)}
    assert len(points(fanout_report.plot(only))) == 2
    assert " - " in fanout_report.table(only)  # no settings of ours


def test_lines_with_different_settings_are_named_by_them() -> None:
    two = {Case("loopback", "paced", 10, gather, 1): result(5.0) for gather in (0.0, 10.0)}
    svg = fanout_report.plot(two)
    assert "paced as libwebrtc does, 0 ms, 1 thr." in svg
    assert "paced as libwebrtc does, 10 ms, 1 thr." in svg


def test_what_is_written_says_how_it_was_measured(tmp_path: Path) -> None:
    fanout_report.write(tmp_path, RESULTS, {"command": "tests/bench/fanout.py --via pod", "load before": "0.1"})
    data = json.loads((tmp_path / "fanout-pod.json").read_text())
    assert data["command"] == "tests/bench/fanout.py --via pod"
    assert [(row["viewers"], row["us_per_packet"]) for row in data["rows"]] == [(10, 8.25), (1000, 4.125), (10, 6.5)]
    text = (tmp_path / "fanout-pod.md").read_text()
    assert "load before: 0.1" in text
    assert "| paced as libwebrtc does | pod | 1000 | 10 | 1 | 4.12 | 3.62…4.62 | 2.06 | 2.00 | 12.5 % |" in text
    assert "12.5 % | 5.0, 9.5 | 5.0 | 5.0, 9.5 | 64 |" in text
    assert "fanout-pod.svg" in text
