"""What passes over the loopback interface, read with a raw socket: enough of IPv4, UDP and TCP for a trace."""

import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import Self

ALL_PROTOCOLS = 0x0003
OUTGOING = 4
UDP, TCP = 17, 6


@dataclass(frozen=True)
class Packet:
    """One datagram or segment."""

    at: float
    protocol: int
    source: int
    destination: int
    payload: bytes


class Trace:
    """Records from entering to leaving the `with` block; packets of these ports only."""

    def __init__(self, *ports: int) -> None:
        self._ports = set(ports)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
        self._socket.bind(("lo", 0))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.settimeout(0.2)
        self._over = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self.packets: list[Packet] = []

    def _read(self) -> None:
        while not self._over.is_set():
            try:
                frame, origin = self._socket.recvfrom(65_536)
            except TimeoutError:
                continue
            if origin[2] == OUTGOING:  # loopback shows every packet twice
                continue
            packet = parse(frame)
            if packet and {packet.source, packet.destination} & self._ports:
                self.packets.append(packet)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._reader.join(2)
        self._socket.close()


def parse(frame: bytes) -> Packet | None:
    """The transport payload of an Ethernet frame with IPv4; None for anything else."""
    if frame[12:14] != b"\x08\x00":
        return None
    ip = frame[14:]
    length = (ip[0] & 15) * 4
    body = ip[length : struct.unpack_from("!H", ip, 2)[0]]
    protocol = ip[9]
    if protocol not in (UDP, TCP):
        return None
    source, destination = struct.unpack_from("!HH", body)
    payload = body[8:] if protocol == UDP else body[(body[12] >> 4) * 4 :]
    return Packet(time.monotonic(), protocol, source, destination, payload)


def kind(datagram: bytes) -> str:
    """What a datagram on a WebRTC port is, by its first byte (RFC 7983)."""
    first = datagram[0] if datagram else 255
    if first <= 3:
        return "stun"
    if 20 <= first <= 63:
        return "dtls"
    return "srtp" if 128 <= first <= 191 else "other"


def rtp_payload(datagram: bytes) -> bytes:
    """The payload of an RTP packet (RFC 3550 §5.1), which SRTP encrypts; the header is in the clear."""
    offset = 12 + 4 * (datagram[0] & 15)
    if datagram[0] & 0x10:
        offset += 4 + 4 * struct.unpack_from("!H", datagram, offset + 2)[0]
    return datagram[offset:]
