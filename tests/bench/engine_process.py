"""The server that `fanout.py` and `joins.py` measure: an Engine without HTTP, led over stdin and stdout.

`publish SDP` and `play SDP` get answers; `leave N` ends the session of the viewer who came as number N, from 0;
`tracks`: the number of tracks that have come; `stats`: the engine's counters.
"""

import argparse
import sys
from typing import Any

from rivulet_media._engine import Engine
from rivulet_scene.load import read_message, write_message

STREAM = "bench"


def serve(engine: Engine) -> None:
    """Answer until stdin ends."""
    tracks: list[Any] = []
    viewers: list[str] = []
    while (message := read_message(sys.stdin.buffer)) is not None:
        verb, _, sdp = message.partition(" ")
        for event in engine.drain_events():
            tracks = event.get("tracks", tracks)
        match verb:
            case "publish":
                answer = engine.publish(STREAM, "incarnation-1", sdp, ["h264", "opus"])[1]
            case "play":
                session, answer = engine.play(STREAM, tracks, sdp)
                viewers.append(session)
            case "leave":
                engine.close(viewers[int(sdp)])
                answer = "gone"
            case "tracks":
                answer = str(len(tracks))
            case _:
                stats = {name: value for name, value in engine.stats().items() if isinstance(value, int)}
                answer = " ".join(f"{name}={value}" for name, value in stats.items())
        write_message(sys.stdout.buffer, answer)


def main() -> None:
    parser = argparse.ArgumentParser(description="an Engine without HTTP")
    parser.add_argument("bind")
    parser.add_argument("port", type=int)
    parser.add_argument("advertised")
    parser.add_argument("--gather-ms", type=float, default=20.0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    engine = Engine(arguments.bind, arguments.port, gather_ms=arguments.gather_ms, threads=arguments.threads)
    engine.set_candidates([(arguments.advertised, engine.port)])
    serve(engine)
    engine.shutdown()


if __name__ == "__main__":
    main()
