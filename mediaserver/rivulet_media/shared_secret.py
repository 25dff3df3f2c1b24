"""Tokens that both sides hold, such as a region's join token."""

import hmac


def fits(given: str, secret: str) -> bool:
    """Compare in constant time; `given` as a header came, whatever its bytes are."""
    return hmac.compare_digest(given.encode(errors="surrogateescape"), secret.encode())
