"""A client's datagrams as frames of a TCP connection (RFC 4571), which reads, stops or breaks off as a test wants."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from engine.nat import Address, endpoint, port
from engine.peers import LOOPBACK

SMALL_BUFFER = 8_192
"""Bytes: what a peer that does not read takes all the same."""


class Bridge:
    """`inside`: the UDP port for the client. To the server goes one TCP connection at a time."""

    def __init__(self, server: Address) -> None:
        self._server = server
        self._client: Address | None = None
        self._inside: asyncio.DatagramTransport | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._reads = asyncio.Event()
        self._reads.set()
        self.transits: dict[int, list[tuple[float, float]]] = {}
        """By payload type: when a packet came, and its RTP timestamp, both in their own units."""

    @property
    def inside(self) -> int:
        return port(self._inside)

    async def open(self) -> None:
        self._inside = await endpoint(self._from_client)
        await self.connect()

    async def connect(self) -> None:
        """Begin another connection; the one before is not closed."""
        one = socket.socket(socket.AF_INET6 if ":" in self._server[0] else socket.AF_INET)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        one.settimeout(0)
        await asyncio.get_running_loop().sock_connect(one, self._server)
        reader, self._writer = await asyncio.open_connection(sock=one, limit=SMALL_BUFFER)
        self._reading = asyncio.create_task(self._read(reader))

    def stop_reading(self) -> None:
        self._reads.clear()

    def read_again(self) -> None:
        self._reads.set()

    async def break_off(self) -> None:
        """Send half a frame, then a reset."""
        assert self._writer is not None
        assert self._reading is not None
        self._writer.write((900).to_bytes(2) + b"\x80" * 100)
        await self._writer.drain()
        self._reading.cancel()
        one = self._writer.get_extra_info("socket")
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self._writer.transport.abort()
        self._writer = None

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            self._writer.close()
        if self._inside is not None:
            self._inside.close()

    def lateness(self, payload_type: int, clock_rate: int, since: float) -> float:
        """Seconds by which the newest packet after `since` is later than the quickest ever; infinite without one."""
        seen = [(came, came - stamp / clock_rate) for came, stamp in self.transits.get(payload_type, [])]
        late = [transit for came, transit in seen if came >= since]
        return late[-1] - min(transit for _, transit in seen) if late else float("inf")

    def _from_client(self, data: bytes, address: Address) -> None:
        self._client = address
        if self._writer is not None:
            self._writer.write(len(data).to_bytes(2) + data)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self._reads.wait()
                length = int.from_bytes(await reader.readexactly(2))
                self._from_server(await reader.readexactly(length))

    def _from_server(self, data: bytes) -> None:
        if 128 <= data[0] < 192 and not 192 <= data[1] < 224:
            stamp = float(int.from_bytes(data[4:8]))
            self.transits.setdefault(data[1] & 127, []).append((time.monotonic(), stamp))
        if self._inside is not None and self._client is not None:
            self._inside.sendto(data, self._client)


@asynccontextmanager
async def bridge(server_port: int, server: str = LOOPBACK) -> AsyncIterator[Bridge]:
    made = Bridge((server, server_port))
    await made.open()
    try:
        yield made
    finally:
        made.close()
