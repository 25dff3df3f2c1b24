"""Listening for IPv4 and IPv6: what `::` and the lack of a setting mean, and the sockets of an HTTP listener.

HTTP has a socket for each family, so that an IPv4 client is seen by its IPv4 address (`request.remote`); media have
sockets for both, and the engine reads mapped addresses as IPv4.
"""

import contextlib
import errno
import socket

ANY_IPV4 = "0.0.0.0"  # noqa: S104 - every interface of the pod
ANY = "::"
"""Every address of both families."""

# With any free port wanted, one that is free for IPv6 may be taken for IPv4.
_TRIES = 16


def everywhere() -> str:
    """What to bind for all that this host has: `::` with IPv6, which takes IPv4 too, else `0.0.0.0`."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            probe.bind((ANY, 0))
    except OSError:
        return ANY_IPV4
    return ANY


def listeners(bind: str, port: int) -> list[socket.socket]:
    """Bound TCP sockets for `bind`, one for each family of `::`, on one port (0: any). OSError: the port is taken."""
    if bind != ANY:
        return [_bound(bind, port)]
    for left in reversed(range(_TRIES)):
        ipv6 = _bound(ANY, port)
        try:
            return [ipv6, _bound(ANY_IPV4, ipv6.getsockname()[1])]
        except OSError as error:
            ipv6.close()
            if port or not left or error.errno != errno.EADDRINUSE:
                raise
    raise AssertionError("the last try raises")


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with contextlib.ExitStack() as undo:
        bound = undo.enter_context(socket.socket(family, kind, protocol))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        undo.pop_all()
    return bound
