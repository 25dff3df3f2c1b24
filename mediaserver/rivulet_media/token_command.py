"""`rivulet-media token`: makes a key pair on first use, shows its public half, signs tokens with the private one."""

import argparse
import os
import sys
import time
from pathlib import Path

from rivulet_media.tokens import Claims, KeyTextError, make_keys, public_half, sign

DEFAULT_KEY = "~/.config/rivulet/publish.key"
SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-command's options."""
    parser.add_argument("--key", type=Path, default=Path(DEFAULT_KEY), help=f"private key (default: {DEFAULT_KEY})")
    parser.add_argument(
        "--public", action="store_true", help="print the public half as CDNRegion wants it, sign nothing"
    )
    parser.add_argument("--stream", action="append", help="a stream's name or '*'; may be given many times")
    parser.add_argument("--action", choices=("publish", "play"), default="publish")
    parser.add_argument(
        "--subject", default="rivulet-media", help="who the token is for: one subject may take over from itself"
    )
    parser.add_argument(
        "--expires", type=seconds, default="1h", metavar="DURATION", help="90s, 30m, 12h, 7d (default: 1h)"
    )
    parser.add_argument(
        "--issuer", help="the issuer's name in CDNRegion; with --public the name to print (default: local)"
    )


def seconds(text: str) -> float:
    """A duration as a person writes it: `90`, `90s`, `30m`, `12h`, `7d`. Raises ValueError."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in SECONDS_PER_UNIT else (text, "s")
    value = float(number) * SECONDS_PER_UNIT[unit]
    if not 0 < value < float("inf"):
        raise ValueError(f"{text!r} is no duration")
    return value


def run(args: argparse.Namespace) -> int:
    """Print a token, or the public key. Exit status 2: the arguments or the key file are no good."""
    try:
        private_pem = _own_key(args.key.expanduser())
        if args.public:
            print(trust_entry(args.issuer or "local", public_half(private_pem)))
            return 0
        if not args.stream:
            print(
                "rivulet-media token: say which stream the token is for: --stream NAME (or --public)", file=sys.stderr
            )
            return 2
        claims = Claims(args.subject, args.action, tuple(args.stream), int(time.time() + args.expires), args.issuer)
        print(sign(private_pem, claims))
    except (OSError, KeyTextError) as error:
        print(f"rivulet-media token: {args.key}: {error}", file=sys.stderr)
        return 2
    return 0


def trust_entry(name: str, public_pem: str) -> str:
    """The public half as lines to paste into a CDNRegion."""
    key = "".join(f"        {line}\n" for line in public_pem.strip().splitlines())
    return f"spec:\n  trust:\n    issuers:\n    - name: {name}\n      publicKey: |\n{key}".rstrip()


def _own_key(path: Path) -> str:
    """The private key at `path`; the first use makes it, readable by its owner only from the first moment on."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:  # another process was first: use its key
            return path.read_text()
        with os.fdopen(descriptor, "w") as file:
            file.write(make_keys().private_pem)
        print(f"made a new key pair: {path} (keep it secret; --public shows the public half)", file=sys.stderr)
    return path.read_text()
