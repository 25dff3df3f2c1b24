"""Times in Kubernetes' spelling (RFC 3339) and as Unix seconds."""

from __future__ import annotations

from datetime import UTC, datetime


def to_text(seconds: float) -> str:
    """Unix seconds as `2026-11-21T09:28:46Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_text(text: str) -> float | None:
    """Unix seconds of an RFC 3339 time; None if it is none, or has no zone."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant.timestamp() if instant.tzinfo else None
