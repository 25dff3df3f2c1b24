"""What is bound, and under which address clients are seen, on real sockets."""

import errno
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from rivulet_media.listening import everywhere, listeners

WITHOUT_IPV6 = Path(__file__).parents[1] / "without_ipv6.py"
ASKS = "from rivulet_media.listening import everywhere; print(everywhere())"


async def remote(request: web.Request) -> web.Response:
    return web.Response(text=request.remote)


async def test_clients_of_both_families_are_seen_under_their_own_addresses() -> None:
    app = web.Application()
    app.router.add_get("/", remote)
    runner = web.AppRunner(app)
    await runner.setup()
    sockets = listeners("::", 0)
    for each in sockets:
        await web.SockSite(runner, each).start()
    (port,) = {each.getsockname()[1] for each in sockets}
    try:
        async with ClientSession() as http:
            for host, seen in (("127.0.0.1", "127.0.0.1"), ("[::1]", "::1")):
                async with http.get(f"http://{host}:{port}/") as answer:
                    assert await answer.text() == seen
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(("bind", "deaf"), [("127.0.0.1", "::1"), ("::1", "127.0.0.1"), ("0.0.0.0", "::1")])
def test_any_other_address_is_listened_on_alone(bind: str, deaf: str) -> None:
    (alone,) = listeners(bind, 0)
    with alone:
        alone.listen()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((deaf, alone.getsockname()[1]), timeout=5)


@pytest.mark.parametrize("taken", ["127.0.0.1", "::1"])
def test_a_port_that_somebody_has_in_either_family_is_taken_and_nothing_stays_bound(taken: str) -> None:
    with socket.create_server((taken, 0), family=socket.AF_INET6 if ":" in taken else socket.AF_INET) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match="in use") as refused:
            listeners("::", port)
        assert refused.value.errno == errno.EADDRINUSE
    for each in listeners("::", port):
        each.close()


def test_everywhere_is_both_families_and_without_ipv6_that_of_ipv4() -> None:
    assert everywhere() == "::"
    words = [sys.executable, str(WITHOUT_IPV6), sys.executable, "-c", ASKS]
    assert subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout == "0.0.0.0\n"
