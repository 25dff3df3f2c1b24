"""`make soak`: two regions under restless viewers and publishers; processes are stopped, killed and cut off.

At the end everything leaves, and nothing may be left of it: no session, relay, socket, file, event stream or busy
timer; memory is flat, and what one side of a wire got is what the other says it sent. Prints a table; exit status 1:
a promise is broken; 2: there was no such network as a soak needs (root, iptables).
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / part) for part in ("hack", "tests/integration", "tests/soak")]

import network  # noqa: E402 - the paths are set above
from crowd import Crowd  # noqa: E402
from judge import Judge  # noqa: E402
from ledger import all_hold, table  # noqa: E402
from rivulet_scene.bare import BareCdn  # noqa: E402
from run import DIRECTORS, NODES, STREAMS, Run  # noqa: E402
from trouble import Trouble  # noqa: E402

LOOK_SECONDS = 5.0
TELL_SECONDS = 60.0


async def soaked(run: Run) -> Judge:
    """All at once until the time is over; then look at what is left."""
    judge, crowd, trouble = Judge(run), Crowd(run), Trouble(run)
    run.begin()
    async with asyncio.TaskGroup() as tasks:
        crowd.scenes(tasks)
        tasks.create_task(run.repeat(trouble.next))
        tasks.create_task(run.repeat(lambda: _agreement(run, judge)))
        tasks.create_task(run.repeat(lambda: _sample(run, judge)))
        tasks.create_task(run.repeat(lambda: _progress(run)))
    await asyncio.to_thread(judge.judge, crowd)
    await judge.measure()
    return judge


async def _agreement(run: Run, judge: Judge) -> None:
    await run.rest(45, 75)
    async with run.calm:
        if not run.over:
            await asyncio.to_thread(judge.agreement)


async def _sample(run: Run, judge: Judge) -> None:
    judge.sample()
    await run.rest(LOOK_SECONDS, LOOK_SECONDS)


async def _progress(run: Run) -> None:
    await run.rest(TELL_SECONDS, TELL_SECONDS)
    passed = (time.monotonic() - run.began) / 60
    print(f"soak: {passed:.0f} min; {dict(run.counts)}", file=sys.stderr, flush=True)


def start(cdn: BareCdn, seconds: float, seed: int) -> Run:
    """Directors, two origins, three edges, all joined."""
    run = Run(cdn, seconds, seed)
    for region, number in DIRECTORS:
        cdn.director(region, number, ready=False)
    for slot in NODES:
        run.join(slot)
    for region, number in DIRECTORS:
        cdn.settled(region, number)
    return run


def keep_logs(folder: Path) -> None:
    """Where a soak that has failed can be read."""
    target = REPOSITORY / "logs" / "soak"
    target.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        (target / log.name).write_bytes(log.read_bytes())


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--loss", type=float, default=0.5, metavar="PERCENT", help="of all UDP (0.5)")
    args = parser.parse_args()
    try:
        network.enter(args.loss)
    except network.NoNetworkError as error:
        print(f"soak: not run: {error}", file=sys.stderr)
        return 2
    with (
        tempfile.TemporaryDirectory(prefix="rivulet-soak-") as name,
        BareCdn(Path(name), {"eu": 2, "us": 1}, STREAMS) as cdn,
    ):
        try:
            run = start(cdn, args.minutes * 60, args.seed)
            judge = asyncio.run(soaked(run))
        finally:
            keep_logs(Path(name))
    print(f"soak: {args.minutes:g} min, seed {args.seed}, loss {args.loss:g} %; {dict(run.counts)}")
    print(table(judge.verdicts))
    passed = all_hold(judge.verdicts)
    print("soak: PASS" if passed else "soak: FAIL (logs/soak)")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
