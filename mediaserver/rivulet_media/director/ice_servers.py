"""TURN servers for clients, with credentials that end by themselves (coturn's `use-auth-secret`). Pure."""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from rivulet_media.director.resources import SlotStatus

# A client that renews its allocation after this time needs new credentials: longer than most sittings.
LIFETIME_SECONDS = 4 * 3600


@dataclass(frozen=True)
class IceServer:
    """One TURN server and what to log in with."""

    urls: tuple[str, ...]
    username: str
    credential: str

    def as_json(self) -> dict[str, object]:
        """As RTCPeerConnection takes it."""
        return {"urls": list(self.urls), "username": self.username, "credential": self.credential}

    def links(self) -> list[str]:
        """`Link` header values, one for each URL (RFC 9725, section 4.6)."""
        login = f'username="{self.username}"; credential="{self.credential}"; credential-type="password"'
        return [f'<{url}>; rel="ice-server"; {login}' for url in self.urls]


def ice_servers(slots: Iterable[SlotStatus], secret: str, now: float) -> tuple[IceServer, ...]:
    """All TURN servers of the region; none without the shared secret. `now`: Unix seconds."""
    if not secret:
        return ()
    username = f"{int(now) + LIFETIME_SECONDS}:rivulet"
    # SHA-1 is what coturn's REST credentials are: an HMAC, so collisions do not matter.
    mac = hmac.new(secret.encode(), username.encode(), hashlib.sha1)
    credential = base64.b64encode(mac.digest()).decode()
    return tuple(IceServer(_urls(slot), username, credential) for slot in slots)


def _urls(slot: SlotStatus) -> tuple[str, ...]:
    host = f"[{slot.address}]" if ":" in slot.address else slot.address
    return tuple(f"turn:{host}:{slot.port}?transport={transport}" for transport in ("udp", "tcp"))
