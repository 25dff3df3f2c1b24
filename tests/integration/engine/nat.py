"""A NAT on loopback: one client behind it, one server in front of it, and a mapping that can change under both."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from engine.peers import LOOPBACK

Address = tuple[str, int]


class Side(asyncio.DatagramProtocol):
    """One socket: hands over what it reads."""

    def __init__(self, take: Callable[[bytes, Address], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._take(data, addr)


class Nat:
    """`inside`: the port that the client sends to; `outside`: the port that the server sees."""

    def __init__(self, server: Address) -> None:
        self._server = server
        self._client: Address | None = None
        self._inside: asyncio.DatagramTransport | None = None
        self._outside: asyncio.DatagramTransport | None = None

    @property
    def inside(self) -> int:
        return port(self._inside)

    @property
    def outside(self) -> int:
        return port(self._outside)

    async def open(self) -> None:
        self._inside = await endpoint(self._from_client)
        self._outside = await endpoint(self._from_server)

    async def rebind(self) -> None:
        """The mapping times out: the next packet gets another, and what comes to the old one is lost."""
        old, self._outside = self._outside, await endpoint(self._from_server)
        if old is not None:
            old.close()

    def close(self) -> None:
        for side in (self._inside, self._outside):
            if side is not None:
                side.close()

    def _from_client(self, data: bytes, address: Address) -> None:
        self._client = address
        if self._outside is not None:
            self._outside.sendto(data, self._server)

    def _from_server(self, data: bytes, _: Address) -> None:
        if self._inside is not None and self._client is not None:
            self._inside.sendto(data, self._client)


async def endpoint(take: Callable[[bytes, Address], None]) -> asyncio.DatagramTransport:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Side(take), local_addr=(LOOPBACK, 0))
    return transport


def port(side: asyncio.DatagramTransport | None) -> int:
    assert side is not None
    return int(side.get_extra_info("sockname")[1])


@asynccontextmanager
async def nat(server_port: int) -> AsyncIterator[Nat]:
    made = Nat((LOOPBACK, server_port))
    await made.open()
    try:
        yield made
    finally:
        made.close()
