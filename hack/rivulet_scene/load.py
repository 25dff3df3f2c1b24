"""The load generator `rivulet-bench` (mediaserver/engine/bench): its program, and a process of it or for it."""

import contextlib
import os
import select
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

from rivulet_scene.command import ROOT, CommandError

ANSWER_SECONDS = 60.0
STOP_SECONDS = 5.0
BUILD_SECONDS = 1800


class Part:
    """One process, led by messages behind a 32-bit length on stdin and stdout. Leaving the `with` block ends it."""

    def __init__(self, *command: str) -> None:
        """Start it; it dies with this process."""
        argv = ["setpriv", "--pdeathsig", "KILL", *command]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        self.name = " ".join(Path(word).name for word in command)[:60]

    @property
    def pid(self) -> int:
        """Of the program itself: what stands before it on the command line only prepares."""
        return self._process.pid

    def __enter__(self) -> Self:
        """The process itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closing stdin asks it to end; if it does not, it is killed."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe(self._process.stdin).close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def say(self, text: str) -> None:
        """One message to it."""
        write_message(self._pipe(self._process.stdin), text)

    def hear(self) -> str:
        """Its next message. CommandError when none comes within a minute, or it has ended."""
        stdout = self._pipe(self._process.stdout)
        if not select.select([stdout], [], [], ANSWER_SECONDS)[0]:
            raise CommandError(f"{self.name}: no answer within {ANSWER_SECONDS:.0f} s")
        message = read_message(stdout)
        if message is None:
            raise CommandError(f"{self.name}: ended with status {self._process.wait(STOP_SECONDS)}")
        return message

    def ask(self, text: str) -> str:
        """Say something and hear the answer."""
        self.say(text)
        return self.hear()

    def figures(self, question: str) -> dict[str, int]:
        """The answer's `name=value` words."""
        return {name: int(value) for name, _, value in (word.partition("=") for word in self.ask(question).split())}

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe


def write_message(pipe: IO[bytes], text: str) -> None:
    """One message."""
    data = text.encode()
    pipe.write(struct.pack(">I", len(data)) + data)
    pipe.flush()


def read_message(pipe: IO[bytes]) -> str | None:
    """The next message; None at the end."""
    head = pipe.read(4)
    return pipe.read(struct.unpack(">I", head)[0]).decode() if len(head) == 4 else None


def generator(*arguments: str, before: Sequence[str] = ()) -> Part:
    """`rivulet-bench ARGUMENTS`, started by the program `before` if there is one."""
    return Part(*before, str(binary()), *arguments)


def build() -> None:
    """The program in release mode."""
    environment = {**os.environ, "CARGO_TARGET_DIR": str(binary().parents[1])}
    command = ["cargo", "build", "--quiet", "--release", "--locked", "-p", "rivulet-bench"]
    subprocess.run(command, cwd=ROOT / "mediaserver" / "engine", env=environment, check=True, timeout=BUILD_SECONDS)


def binary() -> Path:
    """Where it is when it is built."""
    cache = Path(os.environ.get("RIVULET_CACHE", Path.home() / ".cache" / "rivulet"))
    return cache / "cargo" / "release" / "rivulet-bench"


if __name__ == "__main__":
    build()
