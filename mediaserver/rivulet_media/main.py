"""`rivulet-media`: one program, its first argument says which part of the CDN it is."""

import argparse
import importlib
import sys
from collections.abc import Sequence

# sub-command → (module with `add_arguments(parser)` and `run(args) -> int`, help).
# Imported only when used: a media pod need not load PyAV.
COMMANDS: dict[str, tuple[str, str]] = {
    "node": ("rivulet_media.node", "a media node: origin or edge"),
    "director": ("rivulet_media.director.main", "entry point and load balancer of a region"),
    "publish": ("rivulet_media.camera.command", "publish a file or a test picture by WHIP"),
    "play": ("rivulet_media.probe.command", "play a stream by WHEP and print what was seen"),
    "token": ("rivulet_media.token_command", "make a key pair, sign a publish token"),
    "trace": ("rivulet_media.trace_command", "note the headers of what passes on one session"),
    "turn-guard": ("rivulet_media.turn_guard", "keep coturn's list of allowed peers up to date"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; returns the process's exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="rivulet-media", description="Rivulet's media server and its tools.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module_name, help_text) in COMMANDS.items():
        command = commands.add_parser(name, help=help_text, description=help_text)
        if arguments[:1] == [name]:
            importlib.import_module(module_name).add_arguments(command)
    args = parser.parse_args(arguments)
    module_name, _ = COMMANDS[args.command]
    status: int = importlib.import_module(module_name).run(args)
    return status


if __name__ == "__main__":
    sys.exit(main())
