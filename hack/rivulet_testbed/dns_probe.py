"""Asks a DNS server for one name; run inside a region's namespace. Exit code 0: it answered with an address."""

import socket
import struct
import sys

HEADER = struct.Struct("!HHHHHH")
QUERY_ID = 0x5276
RECURSION_DESIRED = 0x0100
TYPE_A_CLASS_IN = b"\x00\x01\x00\x01"
RCODE_MASK = 0x000F
SECONDS = 2.0


def query(name: str) -> bytes:
    """Encode a question for the address of a name (RFC 1035, section 4.1)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    return HEADER.pack(QUERY_ID, RECURSION_DESIRED, 1, 0, 0, 0) + labels + b"\x00" + TYPE_A_CLASS_IN


def has_answer(message: bytes) -> bool:
    """Tell whether a message answers our question with at least one record."""
    if len(message) < HEADER.size:
        return False
    identity, flags, _, answers, _, _ = HEADER.unpack(message[: HEADER.size])
    return bool(identity == QUERY_ID and flags & RCODE_MASK == 0 and answers > 0)


def ask(server: str, name: str) -> bool:
    """Ask once."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(SECONDS)
        try:
            asker.sendto(query(name), (server, 53))
            return has_answer(asker.recv(4096))
        except OSError:
            return False


if __name__ == "__main__":
    sys.exit(0 if ask(sys.argv[1], sys.argv[2]) else 1)
