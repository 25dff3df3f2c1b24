"""What `fanout.py` found: a table, JSON and a plot. Pure but for `write`."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.sax.saxutils import escape

PATTERNS = {"paced": "paced as libwebrtc does", "rich": "the same, 3 Mbit/s", "burst": "synthetic burst"}
COLOURS = {"paced": "#1f6fb4", "rich": "#c4451c", "burst": "#2d8a4e"}
WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 560, 40, 370


@dataclass(frozen=True)
class Case:
    """What one line of the table is about. None: the server is not ours to set."""

    where: str
    pattern: str
    viewers: int
    gather_ms: float | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Result:
    """One number of viewers and one pattern."""

    latency_us: Mapping[str, int]  # from the source to one viewer: a frame's first packet, its last, and sound
    us_per_packet: float
    floor_us: float
    ratio: float
    lowest_us: float  # of the rounds
    highest_us: float
    packets_per_second: float  # to each viewer
    bytes_per_packet: float
    floor_bytes_per_packet: float
    core_percent: float
    memory_kib: float  # for each viewer


Results = Mapping[Case, Result]


def table(results: Results) -> str:
    """For a terminal."""
    head = f"{'server CPU per delivered packet':<34} {'where':<9} {'viewers':>7} {'gather':>6} {'threads':>7} {'µs':>6}"
    head = f"{head} {'rounds':>13} {'floor':>6} {'ratio':>6} {'core':>6} {'pps':>6} {'last p50, p95 ms':>17}"
    lines = [f"{head} {'first p50':>9} {'sound p50, p95':>15} {'KiB':>6}"]
    for case, r in results.items():
        first, last, late, sound, late_sound = _transits(r)
        line = f"{PATTERNS[case.pattern]:<34} {case.where:<9} {case.viewers:>7} {_or_dash(case.gather_ms):>6}"
        line = f"{line} {_or_dash(case.threads):>7} {r.us_per_packet:>6.2f} {_rounds(r):>13} {r.floor_us:>6.2f}"
        line = f"{line} {r.ratio:>6.2f} {r.core_percent:>5.1f}% {r.packets_per_second:>6.1f} {last:>10.1f} {late:>6.1f}"
        lines.append(f"{line} {first:>9.1f} {sound:>8.1f} {late_sound:>6.1f} {r.memory_kib:>6.0f}")
    return "\n".join(lines)


def markdown(results: Results) -> str:
    """The same for docs/benchmarks."""
    head = "pattern | where | viewers | gather ms | threads | µs a packet | rounds | floor | ratio | of one core"
    head = f"| {head} | last p50, p95 ms | first p50 | sound p50, p95 | KiB a viewer |"
    lines = [head, "|" + "---|" * 14]
    for case, r in results.items():
        first, last, late, sound, late_sound = _transits(r)
        settings = f"{_or_dash(case.gather_ms)} | {_or_dash(case.threads)}"
        cost = f"{r.us_per_packet:.2f} | {_rounds(r)} | {r.floor_us:.2f} | {r.ratio:.2f} | {r.core_percent:.1f} %"
        line = f"| {PATTERNS[case.pattern]} | {case.where} | {case.viewers} | {settings} | {cost}"
        transits = f"{last:.1f}, {late:.1f} | {first:.1f} | {sound:.1f}, {late_sound:.1f}"
        lines.append(f"{line} | {transits} | {r.memory_kib:.0f} |")
    return "\n".join(lines)


def _transits(result: Result) -> list[float]:
    """In ms: a frame's first packet, its last and that of the slow, sound and that of the slow."""
    names = ("first_p50", "last_p50", "last_p95", "sound_p50", "sound_p95")
    return [result.latency_us[name] / 1000 for name in names]


def rows(results: Results) -> list[dict[str, object]]:
    """The same as JSON."""
    return [asdict(case) | asdict(result) for case, result in results.items()]


def plot(results: Results) -> str:
    """µs of server CPU a packet over the number of viewers as SVG: the server drawn through, the floor in dashes."""
    top = _round_up(max(r.us_per_packet for r in results.values()))
    across = _Across([case.viewers for case in results])
    where = ", ".join(dict.fromkeys(case.where for case in results))
    parts = [_text(LEFT, 22, f"Server CPU per delivered packet, µs ({where})", size=15), *_axes(results, top)]
    for number, (name, series) in enumerate(_series(results).items()):
        colour = COLOURS[name[0].pattern]
        for values, dashes in (([r.us_per_packet for _, r in series], ""), ([r.floor_us for _, r in series], "5 4")):
            points = [(across(case.viewers), _up(value, top)) for (case, _), value in zip(series, values, strict=True)]
            parts += _line(points, colour, dashes)
        parts.append(_text(RIGHT + 16, TOP + 20 + 20 * number, name[1], colour=colour))
    parts.append(_text(RIGHT + 16, BOTTOM, "dashed: the bare loop", colour="#555555"))
    body = "\n".join(parts)
    frame = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
    return f'<svg {frame}>\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'


def write(folder: Path, results: Results, about: Mapping[str, object]) -> None:
    """`fanout-WHERE.json`, `.md`, `.svg`; `about`: machine, date, command and load."""
    name = f"fanout-{next(iter(results)).where}"
    (folder / f"{name}.json").write_text(json.dumps({**about, "rows": rows(results)}, indent=1) + "\n")
    (folder / f"{name}.svg").write_text(plot(results))
    words = "\n".join(f"- {key}: {value}" for key, value in about.items())
    title = "# Fan-out: server CPU per delivered packet"
    (folder / f"{name}.md").write_text(f"{title}\n\n{words}\n\n![plot]({name}.svg)\n\n{markdown(results)}\n")


def _series(results: Results) -> dict[tuple[Case, str], list[tuple[Case, Result]]]:
    """Lines of the plot, each with its first case and its name."""
    found: dict[str, list[tuple[Case, Result]]] = {}
    several = len({(case.gather_ms, case.threads) for case in results}) > 1
    for case, result in results.items():
        settings = f", {_or_dash(case.gather_ms)} ms, {_or_dash(case.threads)} thr." if several else ""
        found.setdefault(f"{PATTERNS[case.pattern]}{settings}", []).append((case, result))
    return {(series[0][0], name): sorted(series, key=lambda row: row[0].viewers) for name, series in found.items()}


def _axes(results: Results, top: float) -> list[str]:
    across = _Across([case.viewers for case in results])
    lines = []
    for step in range(5):
        value = top * step / 4
        height = _up(value, top)
        lines.append(f'<line x1="{LEFT}" y1="{height:.1f}" x2="{RIGHT}" y2="{height:.1f}" stroke="#dddddd"/>')
        lines.append(_text(LEFT - 8, height + 4, f"{value:g}", anchor="end"))
    counts = sorted({case.viewers for case in results})
    lines += [_text(across(count), BOTTOM + 20, f"{count:,}", anchor="middle") for count in counts]
    return [*lines, _text((LEFT + RIGHT) / 2, BOTTOM + 42, "viewers", anchor="middle")]


class _Across:
    """Places numbers of viewers between the left and the right edge."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._low, high = math.log(min(numbers)), math.log(max(numbers))
        self._span = (high - self._low) or 1.0

    def __call__(self, number: int) -> float:
        return LEFT + 20 + (math.log(number) - self._low) / self._span * (RIGHT - LEFT - 40)


def _line(points: Sequence[tuple[float, float]], colour: str, dashes: str) -> Iterable[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>'
    for x, y in points:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'


def _text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = "#222222", size: int = 12) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}"'
    return f"<text {place}>{escape(words)}</text>"


def _up(value: float, top: float) -> float:
    return BOTTOM - value / top * (BOTTOM - TOP)


def _round_up(value: float) -> float:
    return math.ceil(value / 4) * 4


def _rounds(result: Result) -> str:
    return f"{result.lowest_us:.2f}…{result.highest_us:.2f}"


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
