"""ICE servers as WHIP and WHEP name them: `Link: <turn:…>; rel="ice-server"; …` (RFC 9725 §4.6, RFC 8288). Pure."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LINK = re.compile(r"<(?P<target>[^>]*)>(?P<parameters>(?:\s*;\s*[^,;\"]+(?:\"(?:[^\"\\]|\\.)*\")?)*)")
_PARAMETER = re.compile(
    r";\s*(?P<name>[^\s=;,]+)\s*(?:=\s*(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<token>[^\s;,\"]+)))?"
)


@dataclass(frozen=True, slots=True)
class IceServer:
    """One STUN or TURN address with the credentials that came with it."""

    url: str
    username: str | None = None
    credential: str | None = None

    @property
    def transport(self) -> str | None:
        """For TURN how the client reaches the server (`udp` or `tcp`, RFC 7065); None for STUN."""
        scheme = self.url.partition(":")[0]
        if scheme not in ("turn", "turns"):
            return None
        asked = re.search(r"\?transport=(\w+)", self.url)
        return asked[1].lower() if asked else ("tcp" if scheme == "turns" else "udp")


def ice_servers(link_headers: Iterable[str]) -> tuple[IceServer, ...]:
    """Every `rel="ice-server"` of all Link headers of an answer, in order; what is no link is passed over."""
    return tuple(server for header in link_headers for server in _servers_of(header))


def _servers_of(header: str) -> Iterator[IceServer]:
    for link in _LINK.finditer(header):
        parameters = {
            match["name"].lower(): _unquoted(match["quoted"]) if match["quoted"] is not None else match["token"] or ""
            for match in _PARAMETER.finditer(link["parameters"])
        }
        if "ice-server" in parameters.get("rel", "").split():
            yield IceServer(link["target"], parameters.get("username"), parameters.get("credential"))


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
