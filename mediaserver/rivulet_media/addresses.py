"""The addresses that a node is advertised under: at most four, IPv4 and IPv6, the best first. Pure."""

import ipaddress

MOST_ADDRESSES = 4


def advertised(text: str) -> tuple[str, ...]:
    """What a comma-separated list names, each once and in the usual writing; what is no address is left out."""
    found = (_address(part) for part in text.split(","))
    return tuple(dict.fromkeys(address for address in found if address is not None))[:MOST_ADDRESSES]


def not_addresses(text: str) -> tuple[str, ...]:
    """What of the list is no IP address."""
    return tuple(part.strip() for part in text.split(",") if _address(part) is None)


def _address(text: str) -> str | None:
    """IPv6 in short form, an IPv4-mapped one as IPv4; None for everything else, also with a zone or a port."""
    try:
        parsed = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.scope_id is not None:
        return None
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
